-- One reservation as one statement: what Holdfast does for `reserve`, for those who are measured beside it.
CREATE FUNCTION bench_reserve(
  made uuid, target uuid, wanted smallint[], labels text[], buyer uuid, most integer,
  OUT refused text, OUT at timestamptz, OUT until timestamptz, OUT amount numeric, OUT currency text, OUT version bigint,
  OUT data jsonb
) LANGUAGE plpgsql AS $$
DECLARE
  found record;
  locked locked_schedule;
  caller bytea := '\x75'::bytea || uuid_send(buyer);
  touched integer;
BEGIN
  SELECT * INTO found FROM lock_reserving(ARRAY[target], ARRAY[caller], '{}', '{}');
  locked := found.schedules[1];
  refused := CASE
    WHEN locked.id IS NULL THEN 'NOT_FOUND'
    WHEN locked.status <> 'ON_SALE' OR locked.starts_at <= locked.at THEN 'INVALID_INPUT'
    WHEN (found.holders[1]).active >= most THEN 'RESERVATION_LIMIT_REACHED'
    WHEN locked.taken && wanted THEN 'SEATS_UNAVAILABLE'
  END;
  IF refused IS NOT NULL THEN
    RETURN;
  END IF;
  at := locked.at;
  until := least(at + locked.reservation_ttl, locked.starts_at);
  amount := locked.price_amount * cardinality(wanted);
  currency := locked.price_currency;
  version := locked.version + 1;
  data := jsonb_build_object(
    'changed', (SELECT jsonb_agg(jsonb_build_object('label', label, 'status', 'HELD', 'heldUntil', until))
                FROM unnest(labels) label),
    'counts', jsonb_build_object('total', locked.seat_total, 'held', locked.held + cardinality(wanted),
      'available', locked.seat_total - locked.held - locked.booked - locked.blocked - cardinality(wanted),
      'booked', locked.booked, 'blocked', locked.blocked));
  WITH bumped AS (UPDATE schedule s SET version = s.version + 1 WHERE s.id = target RETURNING 1),
  reserved AS (
    INSERT INTO reservation (id, schedule_id, organization_id, account_id, holder, seats, total_amount,
      total_currency, ttl, created_at, expires_at)
    VALUES (made, target, locked.organization_id, buyer, caller, wanted, amount, currency, locked.reservation_ttl, at, until)
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
    VALUES ('schedule', target, bench_reserve.version, 'seats.held', at, 'user', buyer, locked.organization_id, NULL,
        locked.resource_id, data),
      ('reservation', made, 1, 'reservation.created', at, 'user', buyer, locked.organization_id, buyer, NULL,
        jsonb_build_object('scheduleId', target, 'seats', cardinality(wanted)))
  )
  SELECT count(*) INTO touched FROM taken;
  IF touched <> cardinality(wanted) THEN
    RAISE EXCEPTION '% rows in place of %', touched, cardinality(wanted);
  END IF;
END $$;
