-- What the search finds with its counts: origin, destination, how many.
SELECT s.id, s.status, s.version::int, s.price_amount::numeric(12, 2)::text AS amount, s.price_currency,
  s.starts_at, upper(s.during) AS ends_at, s.time_zone, s.seat_total,
  to_char(s.starts_at AT TIME ZONE s.time_zone, 'YYYY-MM-DD"T"HH24:MI') AS local_start,
  to_char(upper(s.during) AT TIME ZONE s.time_zone, 'YYYY-MM-DD"T"HH24:MI') AS local_end,
  s.offering_id, s.resource_id, c.held, c.booked, c.blocked
FROM schedule s
LEFT JOIN LATERAL (
  SELECT count(*) FILTER (WHERE a.status = 'HELD' AND a.held_until > clock_timestamp())::int AS held,
    count(*) FILTER (WHERE a.status = 'BOOKED')::int AS booked,
    count(*) FILTER (WHERE a.status = 'BLOCKED')::int AS blocked
  FROM allocation a WHERE a.schedule_id = s.id
) c ON true
WHERE s.origin_key = $1 AND s.destination_key = $2 AND s.starts_at >= statement_timestamp()
  AND s.status <> 'CANCELLED'
ORDER BY s.starts_at, s.id LIMIT $3
