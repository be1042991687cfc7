"""What owners do with webhooks: endpoints made, changed, tried out, and told again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

from domain.access import must_be_staff, signed_in_user
from domain.errors import InvalidInput, NotFound, PolicyViolation
from domain.events import Event, Position, Stream
from domain.ids import new_id
from domain.messages import Message, Messages
from domain.once import Once, Recall
from domain.ports import Begin, Transaction
from domain.reads import Key, Page
from domain.scopes import Scope
from domain.viewer import Viewer
from domain.webhooks import (
    MOST_ENDPOINTS,
    QR_CODE,
    RETRIES,
    TESTED,
    Attempt,
    Delivery,
    DeliveryStatus,
    Endpoint,
    WebhookStatus,
    checked_types,
    checked_url,
    outcome,
)

MOST_LISTED = 100
HOUR = timedelta(hours=1)


class Post(Protocol):
    """Posts a message to a URL given by a user; whatever goes wrong is part of the attempt."""

    async def __call__(self, url: str, message: Message) -> Attempt:
        """One attempt, over within 15 s."""


@dataclass(frozen=True, slots=True)
class EndpointWish:
    """An endpoint to be made; without an organization, for the caller's own events."""

    organization_id: UUID | None
    url: str
    types: Sequence[str]
    older: bool = False


@dataclass(frozen=True, slots=True)
class EndpointChange:
    """What is to be different; None leaves it as it is."""

    id: UUID | None
    url: str | None = None
    types: Sequence[str] | None = None
    paused: bool | None = None


@dataclass(frozen=True, slots=True)
class SavedEndpoint:
    """An endpoint, and where it is new, its secret."""

    endpoint: Endpoint
    secret: str | None = None

    @property
    def id(self) -> UUID:
        """The endpoint's id."""
        return self.endpoint.id


@dataclass(frozen=True, slots=True)
class Sample:
    """A delivery that is sent at once, to an endpoint; to none where the same request was answered before."""

    id: UUID
    endpoint: Endpoint | None = None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """The use cases. An organization's endpoints are its staff's; an account's, and its jobs', are its own.

    Of what is somebody else's nothing is told but NotFound. ``http`` allows URLs without TLS.
    """

    begin: Begin
    once: Once
    messages: Messages
    post: Post
    http: bool = False

    async def create(self, viewer: Viewer, wish: EndpointWish, key: str | None = None) -> SavedEndpoint:
        """Make an endpoint, which is told of everything from now on. The same request sent again gets the secret again.

        Raises InvalidInput, NotFound, IdempotencyMismatch, Unauthenticated, Forbidden.
        """
        account_id = signed_in_user(viewer)
        checked_url(wish.url, http=self.http)
        types = checked_types(wish.types, older=wish.older)
        if wish.organization_id is None and viewer.grant is not None:
            raise InvalidInput(
                "A key makes endpoints of its organization alone: name it.", ("organizationId",)
            )

        async def work(tx: Transaction) -> SavedEndpoint:
            owner = await _organization(tx, viewer, wish.organization_id) if wish.organization_id else None
            endpoint = Endpoint(
                new_id(),
                wish.url,
                types,
                organization_id=owner,
                account_id=None if owner else account_id,
                older=wish.older,
            )
            if await tx.webhooks.count(owner, endpoint.account_id) >= MOST_ENDPOINTS:
                raise InvalidInput(f"At most {MOST_ENDPOINTS} endpoints; delete one first.", ("url",))
            await tx.webhooks.add(endpoint)
            return self._with_secret(endpoint)

        recall = self._recall(viewer, secret=True)
        return await self.once.run(viewer, "createWebhookEndpoint", wish, key, work, recall)

    async def update(self, viewer: Viewer, change: EndpointChange, key: str | None = None) -> SavedEndpoint:
        """Change an endpoint. One that goes on after a pause, or after it failed, is told what it missed.

        Raises InvalidInput, NotFound, IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> SavedEndpoint:
            endpoint = await self._own(tx, viewer, change.id)
            if change.url is not None:
                endpoint = replace(endpoint, url=checked_url(change.url, http=self.http))
            if change.types is not None:
                endpoint = replace(endpoint, types=checked_types(change.types, older=endpoint.older))
            if change.paused is not None:
                status = WebhookStatus.PAUSED if change.paused else WebhookStatus.ACTIVE
                endpoint = replace(endpoint, status=status, failing_since=None)
            await tx.webhooks.save(endpoint)
            return SavedEndpoint(endpoint)

        return await self.once.run(viewer, "updateWebhookEndpoint", change, key, work, self._recall(viewer))

    async def delete(self, viewer: Viewer, endpoint_id: UUID | None, key: str | None = None) -> SavedEndpoint:
        """Remove an endpoint with all its deliveries; as it was. Raises NotFound, also if it was removed before."""

        async def work(tx: Transaction) -> SavedEndpoint:
            endpoint = await self._own(tx, viewer, endpoint_id)
            await tx.webhooks.remove(endpoint.id)
            return SavedEndpoint(endpoint)

        request = str(endpoint_id)
        return await self.once.run(viewer, "deleteWebhookEndpoint", request, key, work, self._recall(viewer))

    async def rotate(self, viewer: Viewer, endpoint_id: UUID | None, key: str | None = None) -> SavedEndpoint:
        """Give an endpoint a new secret; for 24 hours the one before signs, too.

        Raises NotFound, IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> SavedEndpoint:
            endpoint = await self._own(tx, viewer, endpoint_id)
            rotated = replace(endpoint, generation=endpoint.generation + 1, rotated_at=datetime.now(UTC))
            await tx.webhooks.save(rotated)
            return self._with_secret(rotated)

        recall = self._recall(viewer, secret=True)
        return await self.once.run(viewer, "rotateWebhookSecret", str(endpoint_id), key, work, recall)

    async def test(self, viewer: Viewer, endpoint_id: UUID | None, key: str | None = None) -> Delivery:
        """Send a sample now, whatever the endpoint's types and status, and report the one attempt.

        Raises NotFound, IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> Sample:
            endpoint = await self._own(tx, viewer, endpoint_id)
            endpoint = replace(endpoint, version=endpoint.version + 1)
            at = await tx.webhooks.save(endpoint)
            tx.emit(event_of(endpoint, TESTED, at))
            return Sample(await tx.webhooks.sample(endpoint), endpoint)

        async def recall(_: Transaction, known_id: UUID) -> Sample:
            return Sample(known_id)

        sample = await self.once.run(viewer, "testWebhookEndpoint", str(endpoint_id), key, work, recall)
        async with self.begin(viewer) as tx:
            delivery = await self._delivery(tx, viewer, sample.id)
        if sample.endpoint is None:
            return delivery
        message = self.messages.of_event(sample.endpoint, delivery.event, None, datetime.now(UTC))
        attempt = await self.post(sample.endpoint.url, message)
        async with self.begin(viewer) as tx:
            await tx.webhooks.settle(sample.id, outcome(0, len(RETRIES), attempt, 0.0))
            return await self._delivery(tx, viewer, sample.id)

    async def retry(self, viewer: Viewer, delivery_id: UUID | None, key: str | None = None) -> Delivery:
        """Send a delivery again now, and, if that fails, as often as a new one.

        Raises InvalidInput for an endpoint that is not active, NotFound, IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> Delivery:
            delivery = await self._delivery(tx, viewer, delivery_id)
            endpoint = await self._own(tx, viewer, delivery.endpoint_id)
            if endpoint.status is not WebhookStatus.ACTIVE:
                raise InvalidInput("Let the endpoint go on first: update it with `paused: false`.", ("id",))
            await tx.webhooks.retry(delivery.id)
            return await self._delivery(tx, viewer, delivery.id)

        async def recall(tx: Transaction, known_id: UUID) -> Delivery:
            return await self._delivery(tx, viewer, known_id)

        return await self.once.run(viewer, "retryDelivery", str(delivery_id), key, work, recall)

    async def replay(
        self, viewer: Viewer, endpoint_id: UUID | None, after: Position, key: str | None = None
    ) -> SavedEndpoint:
        """Send again every event after a place of the log, in order, as far back as the log goes.

        Raises NotFound, IdempotencyMismatch.
        """

        async def work(tx: Transaction) -> SavedEndpoint:
            endpoint = await self._own(tx, viewer, endpoint_id)
            await tx.webhooks.rewind(endpoint.id, after)
            return SavedEndpoint(endpoint)

        request = [str(endpoint_id), *after]
        return await self.once.run(viewer, "replayEvents", request, key, work, self._recall(viewer))

    async def all_of(self, viewer: Viewer) -> Sequence[Endpoint]:
        """The caller's own endpoints and those of organizations whose staff they are, the newest first, up to 100."""
        signed_in_user(viewer)
        async with self.begin(viewer) as tx:
            found = await tx.webhooks.endpoints(MOST_LISTED)
        return [endpoint for endpoint in found if _lent(viewer, endpoint)]

    async def endpoint(self, viewer: Viewer, endpoint_id: UUID) -> Endpoint | None:
        """An endpoint that is the caller's to see."""
        async with self.begin(viewer) as tx:
            try:
                return await self._own(tx, viewer, endpoint_id, lock=False)
            except NotFound:
                return None

    async def deliveries(
        self,
        viewer: Viewer,
        endpoints: Sequence[Endpoint],
        first: int,
        after: Key | None,
        status: DeliveryStatus | None,
    ) -> Sequence[Page[Delivery]]:
        """A page of the deliveries of each of these endpoints, which the caller was given, the newest first.

        It is empty for one that was deleted, or is no longer the caller's.
        """
        async with self.begin(viewer) as tx:
            return await tx.webhooks.deliveries([each.id for each in endpoints], first, after, status)

    async def delivery(self, viewer: Viewer, delivery_id: UUID) -> Delivery | None:
        """A delivery that is the caller's to see."""
        async with self.begin(viewer) as tx:
            try:
                return await self._delivery(tx, viewer, delivery_id)
            except NotFound:
                return None

    def _with_secret(self, endpoint: Endpoint) -> SavedEndpoint:
        return SavedEndpoint(endpoint, self.messages.secret_of(endpoint))

    def _recall(self, viewer: Viewer, *, secret: bool = False) -> Recall[SavedEndpoint]:
        """What a request sent again is answered with: the endpoint, and the secret that its first answer had."""

        async def recall(tx: Transaction, known_id: UUID) -> SavedEndpoint:
            endpoint = await self._own(tx, viewer, known_id, lock=False)
            return self._with_secret(endpoint) if secret else SavedEndpoint(endpoint)

        return recall

    async def _own(
        self, tx: Transaction, viewer: Viewer, endpoint_id: UUID | None, *, lock: bool = True
    ) -> Endpoint:
        account_id = signed_in_user(viewer)
        found = await tx.webhooks.endpoint(endpoint_id, lock=lock) if endpoint_id else None
        nothing = NotFound("No such endpoint.", ("id",))
        if found is None or not _lent(viewer, found):
            raise nothing
        if found.organization_id is not None:
            await must_be_staff(tx, viewer, found.organization_id, otherwise=nothing)
        elif found.account_id != account_id:
            raise nothing
        return found

    async def _delivery(self, tx: Transaction, viewer: Viewer, delivery_id: UUID | None) -> Delivery:
        found = await tx.webhooks.delivery(delivery_id) if delivery_id else None
        if found is None:
            raise NotFound("No such delivery.", ("id",))
        await self._own(tx, viewer, found.endpoint_id, lock=False)
        return found


def _lent(viewer: Viewer, endpoint: Endpoint) -> bool:
    """Whether a key, if the caller has one, reaches this far: to its organization, and, if it lends them, to jobs.

    Whoever may change a job's endpoint may have its login codes sent to themselves.
    """
    grant = viewer.grant
    if grant is None or endpoint.organization_id == grant.organization_id:
        return True
    return endpoint.job_id is not None and grant.covers(Scope.AUTOMATION)


async def endpoint_of_job(
    tx: Transaction,
    viewer: Viewer,
    job_id: UUID,
    url: str,
    *,
    most: int,
    http: bool = False,
    older: bool = False,
) -> Endpoint:
    """Let a URL be told of every event of a job, in the transaction that starts it, after the job was written.

    ``older`` gives what the older systems gave, their login codes too; otherwise codes are sent to nobody. The owner
    finds the endpoint, and by rotating it a secret, among their own.

    Raises InvalidInput, and PolicyViolation above the ``most`` that an account may have made within an hour: jobs that
    are started and stopped at once would make us call anybody's address for ever (``webhookUrl`` both).
    """
    checked_url(url, http=http, path=("webhookUrl",))
    types = ("automation.*", QR_CODE) if older else ("automation.*",)
    owner = signed_in_user(viewer)
    if await tx.webhooks.count_of_jobs(owner, HOUR, most) >= most:
        message = (
            f"At most {most} jobs an hour may name a webhook of their own; make an endpoint for all, or wait."
        )
        raise PolicyViolation(message, ("webhookUrl",))
    endpoint = Endpoint(new_id(), url, types, account_id=owner, job_id=job_id, older=older)
    await tx.webhooks.add(endpoint)
    return endpoint


def event_of(endpoint: Endpoint, type_: str, at: datetime) -> Event:
    """A step of an endpoint's own story, for its owners."""
    return Event(
        Stream.WEBHOOK,
        endpoint.id,
        endpoint.version,
        type_,
        at,
        {"status": endpoint.status.value},
        organization_id=endpoint.organization_id,
        account_id=endpoint.account_id,
    )


async def _organization(tx: Transaction, viewer: Viewer, organization_id: UUID) -> UUID:
    found = await tx.catalogue.organization(organization_id)
    if found is None:
        raise NotFound("No such organization.", ("organizationId",))
    await must_be_staff(tx, viewer, found.id)
    return found.id
