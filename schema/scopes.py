"""Which scope a key needs for what; where nothing is said, no key will do.

A document is judged before it runs, by every field at the root and every field of a Node that it selects: everything
else is reached through one of those. What a Node turns out to be is judged in ``resolvers.nodes``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLObjectType,
    GraphQLSchema,
    OperationDefinitionNode,
    TypeInfo,
    TypeInfoVisitor,
    Visitor,
    visit,
)

from domain.errors import Forbidden
from domain.scopes import Grant, Scope
from schema.errors import WireError, denied

ROOTS: Mapping[str, Scope | None] = {
    "Query.node": Scope.CATALOGUE_READ,
    "Query.nodes": Scope.CATALOGUE_READ,
    "Query.viewer": None,
    "Query.server": Scope.CATALOGUE_READ,
    "Query.organizations": Scope.CATALOGUE_READ,
    "Query.offerings": Scope.CATALOGUE_READ,
    "Query.resources": Scope.CATALOGUE_READ,
    "Query.schedules": Scope.CATALOGUE_READ,
    "Query.schedule": Scope.CATALOGUE_READ,
    "Query.reservation": Scope.BOOKINGS_READ,
    "Query.reservations": Scope.BOOKINGS_READ,
    "Query.booking": Scope.BOOKINGS_READ,
    "Query.bookingByReference": Scope.BOOKINGS_READ,
    "Query.bookings": Scope.BOOKINGS_READ,
    "Query.portals": Scope.CATALOGUE_READ,
    "Query.automationJob": Scope.AUTOMATION,
    "Query.automationJobs": Scope.AUTOMATION,
    "Query.events": Scope.EVENTS_READ,
    "Query.webhookEndpoints": Scope.WEBHOOKS,
    "Query.apiKeys": None,
    "Mutation.register": None,
    "Mutation.login": None,
    "Mutation.refreshSession": None,
    "Mutation.logout": None,
    "Mutation.changePassword": None,
    "Mutation.reserve": Scope.BOOKINGS_WRITE,
    "Mutation.extendReservation": Scope.BOOKINGS_WRITE,
    "Mutation.releaseReservation": Scope.BOOKINGS_WRITE,
    "Mutation.book": Scope.BOOKINGS_WRITE,
    "Mutation.cancelBooking": Scope.BOOKINGS_WRITE,
    "Mutation.forceReleaseReservation": Scope.BOOKINGS_WRITE,
    "Mutation.saveResource": Scope.CATALOGUE_WRITE,
    "Mutation.saveOffering": Scope.CATALOGUE_WRITE,
    "Mutation.openSchedules": Scope.CATALOGUE_WRITE,
    "Mutation.blockSeats": Scope.CATALOGUE_WRITE,
    "Mutation.startAutomationJob": Scope.AUTOMATION,
    "Mutation.stopAutomationJob": Scope.AUTOMATION,
    "Mutation.createWebhookEndpoint": Scope.WEBHOOKS,
    "Mutation.updateWebhookEndpoint": Scope.WEBHOOKS,
    "Mutation.deleteWebhookEndpoint": Scope.WEBHOOKS,
    "Mutation.rotateWebhookSecret": Scope.WEBHOOKS,
    "Mutation.testWebhookEndpoint": Scope.WEBHOOKS,
    "Mutation.retryDelivery": Scope.WEBHOOKS,
    "Mutation.replayEvents": Scope.WEBHOOKS,
    "Mutation.switchPortal": None,
    "Mutation.createApiKey": None,
    "Mutation.revokeApiKey": None,
    "Subscription.seatChanges": Scope.CATALOGUE_READ,
    "Subscription.reservation": Scope.BOOKINGS_READ,
    "Subscription.bookings": Scope.BOOKINGS_READ,
    "Subscription.automationJob": Scope.AUTOMATION,
    "Subscription.qrCodes": Scope.AUTOMATION,
    "Subscription.automationScreen": Scope.AUTOMATION,
    "Subscription.events": Scope.EVENTS_READ,
}

NODES: Mapping[str, Scope | None] = {
    "Organization": Scope.CATALOGUE_READ,
    "Resource": Scope.CATALOGUE_READ,
    "SeatLayout": Scope.CATALOGUE_READ,
    "Offering": Scope.CATALOGUE_READ,
    "Schedule": Scope.CATALOGUE_READ,
    "Reservation": Scope.BOOKINGS_READ,
    "Booking": Scope.BOOKINGS_READ,
    "AutomationJob": Scope.AUTOMATION,
    "Event": Scope.EVENTS_READ,
    "WebhookEndpoint": Scope.WEBHOOKS,
    "Delivery": Scope.WEBHOOKS,
    "User": None,
    "ApiKey": None,
}

Demands = Mapping[str, Scope | None]
"""By the places of a document, as ``Type.field`` or ``Type``, what each needs."""


def demands_of(schema: GraphQLSchema, tree: DocumentNode, operation: OperationDefinitionNode) -> Demands:
    """What a valid operation needs of a key, and with it every fragment that stands in its document."""
    types = TypeInfo(schema)
    found = _Demands(schema, types)
    fragments = [node for node in tree.definitions if isinstance(node, FragmentDefinitionNode)]
    for node in (operation, *fragments):
        visit(node, TypeInfoVisitor(types, found))
    return found.demands


def beyond(demands: Demands, grant: Grant) -> Sequence[WireError]:
    """An error for each place that a key does not cover."""
    return [denied(_refusal(place, scope)) for place, scope in demands.items() if not grant.covers(scope)]


class _Demands(Visitor):
    def __init__(self, schema: GraphQLSchema, types: TypeInfo) -> None:
        super().__init__()
        self.demands: dict[str, Scope | None] = {}
        self._types = types
        self._roots = (schema.query_type, schema.mutation_type, schema.subscription_type)

    def enter_field(self, node: FieldNode, *_: Any) -> None:
        parent, name = self._types.get_parent_type(), node.name.value
        if name.startswith("__") or not isinstance(parent, GraphQLObjectType):
            return
        if parent in self._roots:
            place = f"{parent.name}.{name}"
            self.demands[place] = ROOTS.get(place)
        elif any(interface.name == "Node" for interface in parent.interfaces):
            self.demands[parent.name] = NODES.get(parent.name)


def _refusal(place: str, scope: Scope | None) -> Forbidden:
    if scope is None:
        return Forbidden(f"No key opens {place}: sign in.")
    return Forbidden(f"{place} needs a key with the scope {scope}.", scope=scope.value)
