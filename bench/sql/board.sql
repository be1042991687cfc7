-- One schedule and what is taken of it: its id.
SELECT s.version::int, s.price_amount::numeric(12, 2)::text AS amount, s.price_currency, a.seats, a.states,
  a.untils
FROM schedule s LEFT JOIN LATERAL (
  SELECT array_agg(a.seat) AS seats, array_agg(a.status) AS states, array_agg(a.held_until::text) AS untils
  FROM allocation a WHERE a.schedule_id = s.id AND (a.status <> 'HELD' OR a.held_until > clock_timestamp())
) a ON true WHERE s.id = $1
