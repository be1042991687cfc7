-- One reservation as one statement: what Holdfast does for `reserve`, for those who are measured beside it. It says who
-- asks, as the policies on the tables want to know, takes the locks that Holdfast takes, and reads no more than one needs.
CREATE FUNCTION bench_reserve(
  made uuid, target uuid, wanted smallint[], labels text[], buyer uuid, most integer,
  OUT refused text, OUT at timestamptz, OUT until timestamptz, OUT amount numeric, OUT currency text, OUT version bigint,
  OUT data jsonb
) LANGUAGE plpgsql AS $$
DECLARE
  s record;
  seats record;
  caller bytea := '\x75'::bytea || uuid_send(buyer);
  active integer;
  touched integer;
BEGIN
  PERFORM set_config('holdfast.caller', '{' || buyer || '}', true);
  PERFORM pg_advisory_xact_lock(hashtextextended(encode(caller, 'hex'), 0));
  PERFORM pg_advisory_xact_lock(hashtextextended(target::text, 2));
  SELECT t.*, o.reservation_ttl INTO s FROM schedule t JOIN offering o ON o.id = t.offering_id
    WHERE t.id = target FOR NO KEY UPDATE OF t;
  at := clock_timestamp();
  SELECT count(*) FILTER (WHERE status = 'HELD') AS held, count(*) FILTER (WHERE status = 'BOOKED') AS booked,
    count(*) FILTER (WHERE status = 'BLOCKED') AS blocked, coalesce(bool_or(seat = ANY (wanted)), false) AS lost INTO seats
    FROM allocation WHERE schedule_id = target AND (status <> 'HELD' OR held_until > bench_reserve.at);
  SELECT count(*) INTO active FROM reservation r
    WHERE r.holder = caller AND r.status = 'ACTIVE' AND r.expires_at > bench_reserve.at;
  refused := CASE
    WHEN s.id IS NULL THEN 'NOT_FOUND'
    WHEN s.status <> 'ON_SALE' OR s.starts_at <= at THEN 'INVALID_INPUT'
    WHEN active >= most THEN 'RESERVATION_LIMIT_REACHED'
    WHEN seats.lost THEN 'SEATS_UNAVAILABLE'
  END;
  IF refused IS NOT NULL THEN
    RETURN;
  END IF;
  until := least(at + s.reservation_ttl, s.starts_at);
  amount := s.price_amount * cardinality(wanted);
  currency := s.price_currency;
  version := s.version + 1;
  data := jsonb_build_object(
    'changed', (SELECT jsonb_agg(jsonb_build_object('label', label, 'status', 'HELD', 'heldUntil', until))
                FROM unnest(labels) label),
    'counts', jsonb_build_object('total', s.seat_total, 'held', seats.held + cardinality(wanted),
      'available', s.seat_total - seats.held - seats.booked - seats.blocked - cardinality(wanted),
      'booked', seats.booked, 'blocked', seats.blocked));
  WITH bumped AS (UPDATE schedule t SET version = t.version + 1 WHERE t.id = target RETURNING 1),
  reserved AS (
    INSERT INTO reservation (id, schedule_id, organization_id, account_id, holder, seats, total_amount,
      total_currency, ttl, created_at, expires_at)
    VALUES (made, target, s.organization_id, buyer, caller, wanted, amount, currency, s.reservation_ttl, at, until)
  ),
  taken AS (
    INSERT INTO allocation AS a (schedule_id, seat, status, held_until, reservation_id)
    SELECT target, seat, 'HELD', until, made FROM unnest(wanted) AS seat ORDER BY seat
    ON CONFLICT (schedule_id, seat) DO UPDATE
      SET held_until = excluded.held_until, reservation_id = excluded.reservation_id
      WHERE a.status = 'HELD' AND a.held_until <= at
    RETURNING 1
  ),
  told AS (
    INSERT INTO event (stream, stream_id, version, type, at, actor, actor_id, organization_id, account_id,
      resource_id, data)
    VALUES ('schedule', target, bench_reserve.version, 'seats.held', at, 'user', buyer, s.organization_id, NULL,
        s.resource_id, data),
      ('reservation', made, 1, 'reservation.created', at, 'user', buyer, s.organization_id, buyer, NULL,
        jsonb_build_object('scheduleId', target, 'seats', cardinality(wanted)))
  )
  SELECT count(*) INTO touched FROM taken;
  IF touched <> cardinality(wanted) THEN
    RAISE EXCEPTION '% rows in place of %', touched, cardinality(wanted);
  END IF;
END $$;
