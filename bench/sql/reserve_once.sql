-- A reservation: its id, the schedule, the seats' indexes and labels, the buyer.
SELECT refused, at, until, amount::numeric(12, 2)::text AS amount, currency, version::int, data
FROM bench_reserve($1, $2, $3, $4, $5, 1000000)
