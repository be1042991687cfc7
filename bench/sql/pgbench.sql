\set k :k + 1
\set number :client_id + :k * :clients
\set schedule :lap * 250 + :number % 250
\set seat (:number / 250) * 2
\set buyer :number % :buyers
SELECT * FROM bench_reserve(gen_random_uuid(), bench_id(6, :schedule), ARRAY[:seat, :seat + 1]::smallint[], ARRAY['A1', 'A2'], bench_id(2, :buyer), 1000000);
