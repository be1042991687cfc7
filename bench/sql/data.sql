-- What every contestant's database holds: ids are made of numbers, so that each client can tell them without asking.
-- Groups: 1 organization, 2 account, 3 layout, 4 resource, 5 offering, 6 schedule, 7 reservation, 8 booking.

CREATE FUNCTION bench_id(kind integer, number bigint) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
  SELECT ('00000000-0000-700' || kind || '-8000-' || lpad(to_hex(number), 12, '0'))::uuid
$$;

INSERT INTO organization (id, name, slug, time_zone, currency)
SELECT bench_id(1, n), 'House ' || n, 'house-' || n, 'Asia/Kolkata', 'INR' FROM generate_series(0, 9) n;

INSERT INTO account (id, email, name, password_hash)
SELECT bench_id(2, n), 'buyer' || n || '@demo.example', 'Buyer ' || n, '-' FROM generate_series(0, 3999) n;

-- Layout 0 is a hall of 500 seats, layout 1 a coach of 50.
INSERT INTO seat_layout (id, organization_id, rows, columns, aisle_after_column, seats)
SELECT bench_id(3, layout), bench_id(1, 0), rows, columns, columns / 2,
  (SELECT jsonb_agg(jsonb_build_array(chr(65 + i / columns) || i % columns + 1, i, i / columns + 1, i % columns + 1,
     CASE WHEN i / columns < 3 THEN 'front' ELSE 'standard' END, i % columns = 0) ORDER BY i)
   FROM generate_series(0, rows * columns - 1) i)
FROM (VALUES (0, 25, 20), (1, 10, 5)) l (layout, rows, columns);

INSERT INTO resource (id, organization_id, kind, name, time_zone, layout_id)
SELECT bench_id(4, n), bench_id(1, n % 10), CASE n WHEN 0 THEN 'ROOM' ELSE 'VEHICLE' END,
  CASE n WHEN 0 THEN 'Hall' ELSE 'Coach ' || n END, 'Asia/Kolkata', bench_id(3, least(n, 1))
FROM generate_series(0, 10) n;

INSERT INTO offering (id, organization_id, name, mode, price_amount, price_currency, reservation_ttl, max_seats, origin,
  destination, distance_km)
SELECT bench_id(5, n), bench_id(1, n % 10), CASE n WHEN 0 THEN 'Concert' ELSE 'Mumbai - Pune express ' || n END, 'SEATED',
  500, 'INR', '15 minutes', 6, CASE WHEN n > 0 THEN 'Mumbai' END, CASE WHEN n > 0 THEN 'Pune' END,
  CASE WHEN n > 0 THEN 149 END
FROM generate_series(0, 5) n;

-- 2,000 evenings in the hall, to be sold; and 60 departures from Mumbai to Pune, half of whose seats are gone.
INSERT INTO schedule (id, organization_id, offering_id, resource_id, layout_id, mode, origin_key, destination_key,
  during, starts_at, local_date, time_zone, price_amount, price_currency, seat_total)
SELECT bench_id(6, n), o.organization_id, o.id, r.id, r.layout_id, 'SEATED', lower(o.origin), lower(o.destination),
  tstzrange(at, at + interval '2 hours'), at, (at AT TIME ZONE 'Asia/Kolkata')::date, 'Asia/Kolkata', 500, 'INR',
  jsonb_array_length(l.seats)
FROM (
  SELECT n, bench_id(4, 0) AS resource, bench_id(5, 0) AS offering, n * interval '3 hours' AS after
  FROM generate_series(0, 1999) n
  UNION ALL
  SELECT 10000 + n, bench_id(4, 1 + n % 10), bench_id(5, 1 + n % 5), n * interval '1 hour' FROM generate_series(0, 59) n
) s, LATERAL (SELECT date_trunc('hour', now()) + interval '1 day' + after AS at) w,
  resource r, offering o, seat_layout l
WHERE r.id = s.resource AND o.id = s.offering AND l.id = r.layout_id;

-- The last evening is the seat map that is read: 100 seats of it are held and 150 sold; of a coach, 10 and 15.
CREATE TEMP TABLE taken AS
SELECT s.id, s.organization_id, row_number() OVER (ORDER BY s.id) AS n, s.seat_total / 5 AS held,
  s.seat_total * 3 / 10 AS booked
FROM schedule s WHERE s.id >= bench_id(6, 1999);

INSERT INTO reservation (id, schedule_id, organization_id, account_id, holder, status, seats, total_amount,
  total_currency, ttl, created_at, expires_at)
SELECT bench_id(7, n * 2 + kind), id, organization_id, buyer, '\x75'::bytea || uuid_send(buyer),
  CASE kind WHEN 0 THEN 'ACTIVE' ELSE 'CONVERTED' END,
  (SELECT array_agg(i ORDER BY i)::smallint[] FROM generate_series(
     CASE kind WHEN 0 THEN 0 ELSE held END, CASE kind WHEN 0 THEN held ELSE held + booked END - 1) i),
  500, 'INR', '1 day', at, at + interval '1 day'
FROM taken, (SELECT date_trunc('second', now()) + interval '0.125 s' AS at) clock, generate_series(0, 1) kind,
  LATERAL bench_id(2, 3999 - n * 2 - kind) buyer;

INSERT INTO booking (id, reference, schedule_id, organization_id, reservation_id, account_id, status, seats,
  total_amount, total_currency, created_at)
SELECT bench_id(8, n), 'BENCH' || n, schedule_id, r.organization_id, r.id, account_id, 'CONFIRMED', seats, 500, 'INR',
  r.created_at
FROM reservation r, LATERAL (SELECT ('x' || right(r.id::text, 12))::bit(48)::bigint AS n) i WHERE status = 'CONVERTED';

INSERT INTO allocation (schedule_id, seat, status, held_until, reservation_id, booking_id)
SELECT r.schedule_id, seat, CASE WHEN b.id IS NULL THEN 'HELD' ELSE 'BOOKED' END,
  CASE WHEN b.id IS NULL THEN r.expires_at END, r.id, b.id
FROM reservation r LEFT JOIN booking b ON b.reservation_id = r.id, unnest(r.seats) seat;

DROP TABLE taken;
