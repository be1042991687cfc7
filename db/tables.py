"""The data model: every table, what one of its rows is, and what the database itself holds true.

The migrations make the tables; this page, and db/policies.py for who sees which rows, declare what they come to, and a
test compares the two. Only functions and rights stand in the migrations alone. Nothing here runs while a request is
served.

    who          Organization  Account  Membership  Session  RefreshToken  ApiKey  LoginThrottle
    what         SeatLayout  Resource  Offering  Schedule
    the trade    Reservation  Booking  Allocation
    elsewhere    Portal  AutomationJob  Artifact  AutomationWorker
    webhooks     WebhookEndpoint  WebhookDelivery  WebhookCursor
    what was     Event  IdempotencyKey  Installation

A constraint without a name has the one PostgreSQL gives it: ``<table>_<column>_check``, ``_key``, ``_fkey``.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from pydantic import InstanceOf
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Computed,
    Identity,
    Index,
    SmallInteger,
    UniqueConstraint,
    text,
)
from sqlalchemy import Text as TextType
from sqlalchemy.dialects.postgresql import JSONB, TSTZRANGE, ExcludeConstraint, Range
from sqlmodel import Field, SQLModel

from db.columns import (
    Amount,
    CreatedAt,
    Json,
    JsonOrNone,
    SeatIndexes,
    Small,
    SmallOrNone,
    Text,
    TextOrNone,
    Texts,
    TransactionId,
    Version,
    default,
    one_of,
)
from db.policies import declare
from domain.catalogue import BookingMode, ResourceKind
from domain.jobs import ArtifactKind, AutomationFailure, AutomationStatus
from domain.ledger import BookingStatus, ReservationStatus
from domain.webhooks import DeliveryStatus, WebhookStatus

# ---------------------------------------------------------------------------------------------- who


class Organization(SQLModel, table=True):
    """Somebody who sells: a bus operator, a lab, a salon."""

    __tablename__ = "organization"

    id: UUID = Field(primary_key=True)
    name: Text
    slug: str = Field(sa_type=TextType, unique=True)
    time_zone: Text
    currency: Text
    created_at: CreatedAt


class Account(SQLModel, table=True):
    """A person who can sign in; their address is theirs alone, however it is capitalised."""

    __tablename__ = "account"
    __table_args__ = (Index("account_email", "email_key", unique=True),)

    id: UUID = Field(primary_key=True)
    email: Text
    name: TextOrNone
    phone: TextOrNone
    password_hash: Text
    created_at: CreatedAt
    email_key: str = Field(sa_type=TextType, sa_column_args=[Computed("lower(email)", persisted=True)])


class Membership(SQLModel, table=True):
    """What a person may do in one organization. Customers have none."""

    __tablename__ = "membership"
    __table_args__ = (one_of("role", ("PROVIDER", "STAFF", "ADMIN")),)

    account_id: UUID = Field(primary_key=True, foreign_key="account.id", ondelete="CASCADE")
    organization_id: UUID = Field(primary_key=True, foreign_key="organization.id", ondelete="CASCADE")
    role: Text


class Session(SQLModel, table=True):
    """One sign-in and everything refreshed from it: a family of refresh tokens, until it ends or is ended."""

    __tablename__ = "session"
    __table_args__ = (
        Index("session_account", "account_id", postgresql_where=text("ended_at IS NULL")),
        Index("session_ended", "ended_at", postgresql_where=text("ended_at IS NOT NULL")),
    )

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="account.id", ondelete="CASCADE")
    created_at: CreatedAt
    expires_at: datetime
    ended_at: datetime | None
    ended_reason: TextOrNone


class RefreshToken(SQLModel, table=True):
    """A refresh token that was handed out, as its hash; ``parent`` is the hash of the one it replaced."""

    __tablename__ = "refresh_token"
    __table_args__ = (Index("refresh_token_session", "session_id"),)

    hash: bytes = Field(primary_key=True)
    session_id: UUID = Field(foreign_key="session.id", ondelete="CASCADE")
    parent: bytes | None
    issued_at: CreatedAt
    used_at: datetime | None


class ApiKey(SQLModel, table=True):
    """What a program signs in with, as its hash; ``prefix`` is the part by which it is found, and no secret."""

    __tablename__ = "api_key"
    __table_args__ = (
        CheckConstraint("cardinality(scopes) > 0"),
        Index("api_key_organization", "organization_id", text("id DESC")),
    )

    id: UUID = Field(primary_key=True)
    organization_id: UUID = Field(foreign_key="organization.id", ondelete="CASCADE")
    account_id: UUID = Field(foreign_key="account.id", ondelete="CASCADE")
    name: Text
    prefix: str = Field(sa_type=TextType, unique=True)
    hash: bytes
    scopes: Texts
    created_at: CreatedAt
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class LoginThrottle(SQLModel, table=True):
    """The failed logins of one account or one network address, which ``key`` stands for without naming it."""

    __tablename__ = "login_throttle"

    key: bytes = Field(primary_key=True)
    failures: int
    last_failure: datetime
    blocked_until: datetime


# --------------------------------------------------------------------------------------------- what


class SeatLayout(SQLModel, table=True):
    """A seat map. Its row never changes: a resource that is laid out anew gets another."""

    __tablename__ = "seat_layout"

    id: UUID = Field(primary_key=True)
    organization_id: UUID = Field(foreign_key="organization.id")
    rows: Small
    columns: Small
    aisle_after_column: SmallOrNone
    seats: list[Any] = Field(sa_type=JSONB)
    created_at: CreatedAt


class Resource(SQLModel, table=True):
    """What runs schedules: a bus, a lab bench, a stylist (``provider_id``, if the person has an account)."""

    __tablename__ = "resource"
    __table_args__ = (
        one_of("kind", ResourceKind),
        Index("resource_organization", "organization_id", "id"),
        Index("resource_provider", "provider_id", postgresql_where=text("provider_id IS NOT NULL")),
    )

    id: UUID = Field(primary_key=True)
    organization_id: UUID = Field(foreign_key="organization.id")
    kind: Text
    name: Text
    time_zone: Text
    attributes: dict[str, Any] = Field(sa_type=JSONB, sa_column_kwargs=default("'{}'"))
    layout_id: UUID = Field(foreign_key="seat_layout.id")
    provider_id: UUID | None = Field(foreign_key="account.id", ondelete="SET NULL")
    version: Version
    created_at: CreatedAt


class Offering(SQLModel, table=True):
    """What is sold: the night bus from Mumbai to Pune, a bench hour, a haircut."""

    __tablename__ = "offering"
    __table_args__ = (
        one_of("mode", BookingMode),
        CheckConstraint("price_amount >= 0"),
        CheckConstraint("max_seats > 0"),
        Index("offering_organization", "organization_id", "id"),
    )

    id: UUID = Field(primary_key=True)
    organization_id: UUID = Field(foreign_key="organization.id")
    name: Text
    description: TextOrNone
    mode: Text
    price_amount: Amount
    price_currency: Text
    reservation_ttl: timedelta
    max_seats: Small
    origin: TextOrNone
    destination: TextOrNone
    distance_km: float | None
    version: Version
    created_at: CreatedAt


class Schedule(SQLModel, table=True):
    """A dated run of an offering on a resource: the 08:00 departure, the slot from 09:00 to 10:00.

    Where, when and how it is sold stand here once more, so that every search is a scan of one index.
    ``version`` counts the changes of its seats.
    """

    __tablename__ = "schedule"
    __table_args__ = (
        one_of("status", ("ON_SALE", "CLOSED", "CANCELLED")),
        CheckConstraint("NOT isempty(during) AND lower_inc(during) AND NOT upper_inc(during)"),
        CheckConstraint("starts_at = lower(during)"),
        CheckConstraint("price_amount >= 0"),
        CheckConstraint("seat_total > 0"),
        ExcludeConstraint(
            ("resource_id", "="),
            ("during", "&&"),
            where=text("status <> 'CANCELLED'"),
            name="schedule_resource_runs_one_at_a_time",
        ),
        # In an order that only db/search.py asks for: see there.
        Index("schedule_start", text("starts_at NULLS FIRST"), "id"),
        Index("schedule_route", "origin_key", "destination_key", "starts_at", "id"),
        Index("schedule_origin", "origin_key", "starts_at", "id"),
        Index("schedule_destination", "destination_key", "starts_at", "id"),
        Index("schedule_offering", "offering_id", "starts_at", "id"),
        Index("schedule_resource", "resource_id", "starts_at", "id"),
        Index("schedule_organization", "organization_id", "starts_at", "id"),
        Index("schedule_mode", "mode", "starts_at", "id"),
        {"postgresql_with": {"fillfactor": 80}},
    )

    id: UUID = Field(primary_key=True)
    organization_id: UUID = Field(foreign_key="organization.id")
    offering_id: UUID = Field(foreign_key="offering.id")
    resource_id: UUID = Field(foreign_key="resource.id")
    layout_id: UUID = Field(foreign_key="seat_layout.id")
    mode: Text
    origin_key: TextOrNone
    destination_key: TextOrNone
    during: InstanceOf[Range[datetime]] = Field(sa_type=TSTZRANGE)
    starts_at: datetime
    local_date: date
    time_zone: Text
    price_amount: Amount
    price_currency: Text
    seat_total: Small
    status: str = Field(sa_type=TextType, sa_column_kwargs=default("'ON_SALE'"))
    version: int = Field(sa_type=BigInteger, sa_column_kwargs=default("0"))
    created_at: CreatedAt


# ---------------------------------------------------------------------------------------- the trade


class Reservation(SQLModel, table=True):
    """Seats of one schedule kept for somebody until ``expires_at``, whatever ``status`` says after that.

    ``holder`` stands for the caller, signed in or guest, whom the limits are counted by.
    """

    __tablename__ = "reservation"
    __table_args__ = (
        one_of("status", ReservationStatus),
        CheckConstraint("cardinality(seats) > 0"),
        Index("reservation_holder", "holder", "expires_at", postgresql_where=text("status = 'ACTIVE'")),
        Index("reservation_due", "expires_at", "schedule_id", postgresql_where=text("status = 'ACTIVE'")),
        Index("reservation_account", "account_id", text("created_at DESC"), text("id DESC")),
        Index("reservation_organization", "organization_id", text("created_at DESC"), text("id DESC")),
        {"postgresql_with": {"fillfactor": 80}},
    )

    id: UUID = Field(primary_key=True)
    schedule_id: UUID = Field(foreign_key="schedule.id")
    organization_id: UUID = Field(foreign_key="organization.id")
    account_id: UUID | None = Field(foreign_key="account.id", ondelete="SET NULL")
    holder: bytes
    status: str = Field(sa_type=TextType, sa_column_kwargs=default("'ACTIVE'"))
    seats: SeatIndexes
    total_amount: Amount
    total_currency: Text
    ttl: timedelta
    created_at: datetime
    expires_at: datetime
    extensions: int = Field(sa_type=SmallInteger, sa_column_kwargs=default("0"))
    release_reason: TextOrNone
    contact_name: TextOrNone
    contact_email: TextOrNone
    contact_phone: TextOrNone
    version: Version


class Booking(SQLModel, table=True):
    """Seats of one schedule sold to somebody; ``reference`` is what they read aloud."""

    __tablename__ = "booking"
    __table_args__ = (
        one_of("status", BookingStatus),
        Index("booking_account", "account_id", text("created_at DESC"), text("id DESC")),
        Index("booking_organization", "organization_id", text("created_at DESC"), text("id DESC")),
        Index("booking_schedule", "schedule_id"),
        {"postgresql_with": {"fillfactor": 80}},
    )

    id: UUID = Field(primary_key=True)
    reference: str = Field(sa_type=TextType, unique=True)
    schedule_id: UUID = Field(foreign_key="schedule.id")
    organization_id: UUID = Field(foreign_key="organization.id")
    reservation_id: UUID | None = Field(foreign_key="reservation.id", unique=True)
    account_id: UUID | None = Field(foreign_key="account.id", ondelete="SET NULL")
    status: Text
    seats: SeatIndexes
    total_amount: Amount
    total_currency: Text
    contact_name: TextOrNone
    contact_email: TextOrNone
    contact_phone: TextOrNone
    created_at: datetime
    cancelled_at: datetime | None
    cancel_reason: TextOrNone
    external_reference: TextOrNone
    version: Version


class Allocation(SQLModel, table=True):
    """A seat of a schedule that is not free. No row, or a HELD one whose time is over, is a free seat.

    The primary key is what makes a seat have one holder.
    """

    __tablename__ = "allocation"
    __table_args__ = (
        one_of("status", ("HELD", "BOOKED", "BLOCKED")),
        CheckConstraint("seat >= 0"),
        CheckConstraint(
            "(status = 'HELD') = (held_until IS NOT NULL)"
            " AND (status = 'BLOCKED') = (reservation_id IS NULL)"
            " AND (status = 'BOOKED') = (booking_id IS NOT NULL)",
            name="allocation_is_whole",
        ),
        Index("allocation_state", "schedule_id", postgresql_include=["status", "held_until"]),
        # Seat rows come and go all day: room to update in place, and a vacuum that comes early.
        {
            "postgresql_with": {
                "fillfactor": 70,
                "autovacuum_vacuum_scale_factor": 0.02,
                "autovacuum_vacuum_threshold": 200,
            }
        },
    )

    schedule_id: UUID = Field(primary_key=True, foreign_key="schedule.id")
    seat: int = Field(sa_type=SmallInteger, primary_key=True)
    status: Text
    held_until: datetime | None
    reservation_id: UUID | None = Field(foreign_key="reservation.id")
    booking_id: UUID | None = Field(foreign_key="booking.id")


# ---------------------------------------------------------------------------------------- elsewhere


class Portal(SQLModel, table=True):
    """Somebody else's portal, as the organization that its bookings belong to.

    ``failures`` count visits in a row that found it down; from the fifth on it is shut for a while, and then it is
    ``probing`` while the first job tries it again. ``next_turn`` is when the next request may be sent to it.
    """

    __tablename__ = "portal"

    key: str = Field(sa_type=TextType, primary_key=True)
    organization_id: UUID = Field(foreign_key="organization.id", unique=True)
    enabled: bool = Field(sa_column_kwargs=default("true"))
    failures: int = Field(sa_column_kwargs=default("0"))
    probing: bool = Field(sa_column_kwargs=default("false"))
    shut_until: datetime | None
    next_turn: datetime = Field(sa_column_kwargs=default("'-infinity'"))


class AutomationJob(SQLModel, table=True):
    """Somebody's wish to be booked at a portal, and what became of it. ``person`` is a keyed hash of who signed in.

    A worker has it until ``lease_until``; ``lease_token`` grows with each lease. ``fence`` is the slot whose booking
    click was about to happen.
    """

    __tablename__ = "automation_job"
    __table_args__ = (
        one_of("status", AutomationStatus),
        one_of("failure", AutomationFailure),
        CheckConstraint(
            "(finished_at IS NOT NULL) = (status IN ('COMPLETED', 'FAILED', 'STOPPED', 'TIMED_OUT'))"
            " AND (failure IS NOT NULL) = (status = 'FAILED')"
            " AND (booking_id IS NOT NULL) = (status = 'COMPLETED')"
            " AND (outcome IS NOT NULL OR status <> 'COMPLETED')"
            " AND (lease_until IS NULL OR (finished_at IS NULL AND status <> 'QUEUED'))",
            name="automation_job_is_whole",
        ),
        Index(
            "automation_job_one_a_subject", "account_id", "portal_key", "subject",
            unique=True, postgresql_where=text("finished_at IS NULL"),
        ),
        Index(
            "automation_job_one_a_person", "portal_key", "person",
            unique=True, postgresql_where=text("finished_at IS NULL AND person IS NOT NULL"),
        ),
        Index(
            "automation_job_reference", "account_id", "reference", postgresql_where=text("reference IS NOT NULL")
        ),
        Index("automation_job_account", "account_id", text("created_at DESC"), text("id DESC")),
        Index("automation_job_organization", "organization_id", text("created_at DESC"), text("id DESC")),
        # Leases are prolonged all the time, in place.
        {"postgresql_with": {"fillfactor": 70}},
    )  # fmt: skip

    id: UUID = Field(primary_key=True)
    account_id: UUID = Field(foreign_key="account.id", ondelete="CASCADE")
    organization_id: UUID = Field(foreign_key="organization.id")
    portal_key: str = Field(sa_type=TextType, foreign_key="portal.key")
    config: Json
    subject: Text
    reference: TextOrNone
    person: bytes | None
    status: Text
    message: Text
    progress: int = Field(sa_type=SmallInteger, sa_column_kwargs=default("0"))
    steps: list[Any] = Field(sa_type=JSONB)
    attempt: int = Field(sa_column_kwargs=default("0"))
    stop_asked: bool = Field(sa_column_kwargs=default("false"))
    fence: JsonOrNone
    failure: TextOrNone
    outcome: JsonOrNone
    booking_id: UUID | None = Field(foreign_key="booking.id", unique=True)
    lease_worker: UUID | None
    lease_token: int = Field(sa_type=BigInteger, sa_column_kwargs=default("0"))
    lease_until: datetime | None
    created_at: datetime
    deadline_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    version: Version


class AutomationWorker(SQLModel, table=True):
    """A worker with a browser: how many jobs it runs at most and now, and when it said so last."""

    __tablename__ = "automation_worker"

    id: UUID = Field(primary_key=True)
    slots: int
    busy: int
    reported_at: datetime


class Artifact(SQLModel, table=True):
    """A file that is kept of a failed attempt; the file itself is in the data directory."""

    __tablename__ = "artifact"
    __table_args__ = (
        one_of("kind", ArtifactKind),
        Index("artifact_job", "job_id"),
        Index("artifact_age", "taken_at"),
    )

    id: UUID = Field(primary_key=True)
    job_id: UUID = Field(foreign_key="automation_job.id", ondelete="CASCADE")
    kind: Text
    taken_at: datetime


# ----------------------------------------------------------------------------------------- webhooks


class WebhookEndpoint(SQLModel, table=True):
    """A URL that is told of what an organization, an account, or one job of an account does from ``since_xid`` on.

    ``behind_*`` is the place of one that is not told with the others. ``worker`` may send to it ``leased_until``.
    """

    __tablename__ = "webhook_endpoint"
    __table_args__ = (
        CheckConstraint("cardinality(types) > 0"),
        one_of("status", WebhookStatus),
        CheckConstraint(
            "(organization_id IS NULL) <> (account_id IS NULL) AND (job_id IS NULL OR account_id IS NOT NULL)",
            name="webhook_endpoint_is_somebodys",
        ),
        Index(
            "webhook_endpoint_organization", "organization_id", "id",
            postgresql_where=text("organization_id IS NOT NULL"),
        ),
        Index(
            "webhook_endpoint_account", "account_id", "id",
            postgresql_where=text("account_id IS NOT NULL AND job_id IS NULL"),
        ),
        Index("webhook_endpoint_job", "job_id", postgresql_where=text("job_id IS NOT NULL")),
        Index(
            "webhook_endpoint_lately", "account_id", "created_at",
            postgresql_where=text("job_id IS NOT NULL"),
        ),
        Index(
            "webhook_endpoint_told", "since_xid",
            postgresql_where=text("status = 'ACTIVE' AND behind_xid IS NULL"),
        ),
        Index(
            "webhook_endpoint_behind", "id",
            postgresql_where=text("behind_xid IS NOT NULL AND status = 'ACTIVE'"),
        ),
        {"postgresql_with": {"fillfactor": 80}},
    )  # fmt: skip

    id: UUID = Field(primary_key=True)
    organization_id: UUID | None = Field(foreign_key="organization.id", ondelete="CASCADE")
    account_id: UUID | None = Field(foreign_key="account.id", ondelete="CASCADE")
    job_id: UUID | None = Field(foreign_key="automation_job.id", ondelete="CASCADE")
    url: Text
    types: Texts
    older: bool = Field(sa_column_kwargs=default("false"))
    status: str = Field(sa_type=TextType, sa_column_kwargs=default("'ACTIVE'"))
    failing_since: datetime | None
    generation: int = Field(sa_column_kwargs=default("1"))
    rotated_at: datetime | None
    since_xid: int = Field(sa_type=TransactionId, sa_column_kwargs=default("pg_current_xact_id()"))
    behind_xid: int | None = Field(sa_type=TransactionId)
    behind_id: int | None = Field(sa_type=BigInteger)
    worker: UUID | None
    leased_until: datetime | None
    version: int = Field(sa_type=BigInteger, sa_column_kwargs=default("0"))
    created_at: CreatedAt


class WebhookDelivery(SQLModel, table=True):
    """An event on its way to an endpoint; ``due_at`` is empty where nothing is to be sent, or something before it."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        one_of("status", DeliveryStatus),
        UniqueConstraint("endpoint_id", "stream_id", "version"),
        Index(
            "webhook_delivery_line", "endpoint_id", "stream_id", "version",
            postgresql_where=text("status IN ('PENDING', 'RETRYING')"),
        ),
        Index("webhook_delivery_due", "endpoint_id", "due_at", postgresql_where=text("due_at IS NOT NULL")),
        Index("webhook_delivery_endpoint", "endpoint_id", "id"),
        Index(
            "webhook_delivery_unfinished", "endpoint_id", "status", "id",
            postgresql_where=text("status <> 'SUCCEEDED'"),
        ),
        {"postgresql_with": {"fillfactor": 80, "autovacuum_vacuum_scale_factor": 0.05}},
    )  # fmt: skip

    id: int = Field(sa_type=BigInteger, primary_key=True, sa_column_args=[Identity(always=True)])
    endpoint_id: UUID = Field(foreign_key="webhook_endpoint.id", ondelete="CASCADE")
    stream_id: UUID
    version: int = Field(sa_type=BigInteger)
    status: str = Field(sa_type=TextType, sa_column_kwargs=default("'PENDING'"))
    due_at: datetime | None
    tries: int = Field(sa_type=SmallInteger, sa_column_kwargs=default("0"))
    attempts: list[Any] = Field(sa_type=JSONB, sa_column_kwargs=default("'[]'"))
    created_at: CreatedAt


class WebhookCursor(SQLModel, table=True):
    """The one place up to which endpoints were told of the log."""

    __tablename__ = "webhook_cursor"
    __table_args__ = (CheckConstraint("one"),)

    one: bool = Field(primary_key=True, sa_column_kwargs=default("true"))
    xid: int = Field(sa_type=TransactionId, sa_column_kwargs=default("'0'"))
    id: int = Field(sa_type=BigInteger, sa_column_kwargs=default("0"))


# ----------------------------------------------------------------------------------------- what was


class Event(SQLModel, table=True):
    """One thing that happened, written with the change itself: the next version of its stream, and no other.

    The log's order is (``xid``, ``id``), for ids alone become visible out of order. Organization, account and
    resource are those it concerns.
    """

    __tablename__ = "event"
    __table_args__ = (
        Index("event_order", "xid", "id", unique=True),
        Index(
            "event_organization", "organization_id", "xid", "id",
            postgresql_where=text("organization_id IS NOT NULL"),
        ),
        Index("event_account", "account_id", "xid", "id", postgresql_where=text("account_id IS NOT NULL")),
        Index("event_resource", "resource_id", "xid", "id", postgresql_where=text("resource_id IS NOT NULL")),
        {"postgresql_with": {"autovacuum_vacuum_insert_scale_factor": 0.05}},
    )  # fmt: skip

    id: int = Field(sa_type=BigInteger, sa_column_args=[Identity(always=True)])
    xid: int = Field(sa_type=TransactionId, sa_column_kwargs=default("pg_current_xact_id()"))
    stream: Text
    stream_id: UUID = Field(primary_key=True)
    version: int = Field(sa_type=BigInteger, primary_key=True)
    type: Text
    at: datetime
    actor: Text
    actor_id: UUID | None
    organization_id: UUID | None
    account_id: UUID | None
    resource_id: UUID | None
    data: Json


class IdempotencyKey(SQLModel, table=True):
    """A request that a caller (``scope``) may send again under its key, and what it led to the first time."""

    __tablename__ = "idempotency_key"
    __table_args__ = (Index("idempotency_key_age", "created_at"),)

    scope: bytes = Field(primary_key=True)
    key: str = Field(sa_type=TextType, primary_key=True)
    operation: Text
    fingerprint: bytes
    outcome: JsonOrNone
    created_at: CreatedAt


class Installation(SQLModel, table=True):
    """The one row of a database: which log this is, told from any other, and the place it reaches back to."""

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("one"),)

    one: bool = Field(primary_key=True, sa_column_kwargs=default("true"))
    log_epoch: UUID = Field(sa_column_kwargs=default("gen_random_uuid()"))
    log_start_xid: int = Field(sa_type=TransactionId, sa_column_kwargs=default("'0'"))
    log_start_id: int = Field(sa_type=BigInteger, sa_column_kwargs=default("0"))
    created_at: CreatedAt


class WorkerLoop(SQLModel, table=True):
    """When one of the worker's loops ran last, and failed last, in whichever process."""

    __tablename__ = "worker_loop"

    name: str = Field(sa_type=TextType, primary_key=True)
    ran_at: datetime | None
    failed_at: datetime | None
    error: TextOrNone


declare(SQLModel.metadata)
