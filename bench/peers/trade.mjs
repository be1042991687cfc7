// What both servers on Node have in common: the pool, the statements, and the trade as an expert would write it there.
import { readFileSync } from 'node:fs'
import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { createVerifier } from 'fast-jwt'

// Instants and durations stay text: a Date for each would only be made to be printed again.
const TIMESTAMPTZ = 1184
const instant = (text) => `${text.slice(0, 10)}T${text.slice(11, Math.min(text.indexOf('+'), 23))}Z`
pg.types.setTypeParser(TIMESTAMPTZ, instant)

const pool = new pg.Pool({ max: 16, options: process.env.PGOPTIONS })

export const SCHEMA = readFileSync(new URL('../../schema/schema.graphql', import.meta.url), 'utf8')
  .replace('directive @oneOf on INPUT_OBJECT\n', '')

const sql = (name) => readFileSync(new URL(`../sql/${name}.sql`, import.meta.url), 'utf8')

export const gid = (type, uuid) => Buffer.from(`${type}:${uuid}`).toString('base64')
const uuidOf = (id) => Buffer.from(id, 'base64').toString().split(':')[1]

const verify = createVerifier({
  key: readFileSync(process.env.PUBLIC_KEY, 'utf8'),
  algorithms: ['RS256'],
  allowedIss: 'holdfast',
  cache: 10_000,
})

/** The account behind a request, null for a guest. */
export const buyerOf = (headers) => {
  const shown = headers.authorization
  return shown ? verify(shown.slice('Bearer '.length)).sub : null
}

// UUIDv7, so that what is written together lies together in an index.
const newId = () => {
  const bytes = randomBytes(16)
  bytes.writeUIntBE(Date.now(), 0, 6)
  bytes[6] = (bytes[6] & 0x0f) | 0x70
  bytes[8] = (bytes[8] & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`
}

// A layout never changes under its id, nor does a schedule's layout.
const layouts = new Map()
const layoutOf = async (schedule) => {
  const known = layouts.get(schedule)
  if (known) return known
  const { rows } = await pool.query(
    'SELECT l.seats FROM schedule s JOIN seat_layout l ON l.id = s.layout_id WHERE s.id = $1', [schedule])
  const seats = rows[0].seats.map(([label, index, row, column, category, accessible]) =>
    ({ label, index, row, column, category, accessible }))
  const layout = { seats, byLabel: new Map(seats.map((seat) => [seat.label, seat])) }
  layouts.set(schedule, layout)
  return layout
}

const RESERVE = { name: 'reserve', text: sql('reserve_once') }

/** Reserve seats in one statement, which is one durable transaction; publish is told what changed. */
export const reserve = async (buyer, { schedule: scheduleId, labels }, publish) => {
  const schedule = uuidOf(scheduleId)
  const { byLabel } = await layoutOf(schedule)
  const seats = labels.map((label) => byLabel.get(label)).sort((one, other) => one.index - other.index)
  const id = newId()
  const { rows: [made] } = await pool.query({
    ...RESERVE, values: [id, schedule, seats.map((seat) => seat.index), seats.map((seat) => seat.label), buyer],
  })
  if (made.refused) {
    return { __typename: 'InvalidInput', code: made.refused, message: 'These seats cannot be had.', path: null }
  }
  publish?.(scheduleId, {
    __typename: 'SeatDelta',
    cursor: Buffer.from(`["${schedule}",${made.version}]`).toString('base64url'),
    at: made.at,
    scheduleId,
    version: made.version,
    ...made.data,
  })
  return {
    __typename: 'Reservation',
    id: gid('Reservation', id),
    status: 'ACTIVE',
    expiresAt: made.until,
    serverNow: made.at,
    total: { amount: made.amount, currency: made.currency },
    seats: seats.map((seat) => ({ seat, status: 'HELD', mine: true })),
  }
}

const SEARCH = { name: 'search', text: sql('search') }
const SEARCH_ALONE = { name: 'search_alone', text: sql('search_alone') }

const offering = ({ id, name, origin, destination, distance_km: distanceKm }) =>
  ({ id: gid('Offering', id), name, origin, destination, distanceKm })
const resource = ({ id, name, kind }) => ({ id: gid('Resource', id), name, kind })

/** Search in one statement: what it finds with its counts, on which its status depends; `nested` adds the rest. */
const found = async (statement, first, { origin, destination }, nested) => {
  const { rows } = await pool.query({ ...statement, values: [origin.toLowerCase(), destination.toLowerCase(), first + 1] })
  const shown = rows.slice(0, first)
  const last = shown.at(-1)
  return {
    nodes: shown.map((row) => {
      const available = row.seat_total - row.held - row.booked - row.blocked
      return {
        id: gid('Schedule', row.id),
        status: row.status === 'ON_SALE' && available === 0 ? 'SOLD_OUT' : row.status,
        version: row.version,
        price: { amount: row.amount, currency: row.price_currency },
        during: {
          start: row.starts_at, end: row.ends_at, timeZone: row.time_zone,
          localStart: row.local_start, localEnd: row.local_end,
        },
        counts: { total: row.seat_total, available, held: row.held, booked: row.booked, blocked: row.blocked },
        ...nested(row),
      }
    }),
    pageInfo: {
      hasNextPage: rows.length > first,
      endCursor: last ? Buffer.from(`["${last.starts_at}","${last.id}"]`).toString('base64url') : null,
    },
  }
}

/** Whatever is nested comes along, asked for or not: a resolver made for this one document. */
export const searchAtOnce = (first, asked) => found(SEARCH, first, asked, (row) => ({
  offering: {
    id: gid('Offering', row.offering_id), name: row.offering_name, origin: row.origin, destination: row.destination,
    distanceKm: row.distance_km,
  },
  resource: { id: gid('Resource', row.resource_id), name: row.resource_name, kind: row.kind },
}))

/** What is nested is loaded where it is asked for, a statement for all of a list. */
export const search = (first, asked) => found(SEARCH_ALONE, first, asked, (row) =>
  ({ offeringId: row.offering_id, resourceId: row.resource_id }))

const byIds = async (name, ids, shaped) => {
  const { rows } = await pool.query({ name, text: `SELECT * FROM ${name} WHERE id = ANY ($1::uuid[])`, values: [[...new Set(ids)]] })
  const known = new Map(rows.map((row) => [row.id, shaped(row)]))
  return ids.map((id) => known.get(id))
}

export const loaders = {
  Schedule: {
    offering: {
      loader: (queries) => byIds('offering', queries.map(({ obj }) => obj.offeringId), offering),
      opts: { cache: false },
    },
    resource: {
      loader: (queries) => byIds('resource', queries.map(({ obj }) => obj.resourceId), resource),
      opts: { cache: false },
    },
  },
}

const BOARD = { name: 'board', text: sql('board') }

/** One schedule with the state of its seats. */
export const schedule = async (id) => {
  const uuid = uuidOf(id)
  const [layout, { rows: [row] }] = await Promise.all([layoutOf(uuid), pool.query({ ...BOARD, values: [uuid] })])
  const price = { amount: row.amount, currency: row.price_currency }
  const seats = layout.seats.map((seat) => ({ seat, status: 'AVAILABLE', price, heldUntil: null, mine: false }))
  row.seats?.forEach((index, place) => {
    const until = row.untils[place]
    seats[index].status = row.states[place]
    seats[index].heldUntil = until === null ? null : instant(until)
  })
  return { id, version: row.version, seats }
}

export const organizations = async (first) => {
  const { rows } = await pool.query('SELECT id, name FROM organization ORDER BY name, id LIMIT $1', [first])
  return { nodes: rows.map(({ id, name }) => ({ id: gid('Organization', id), name })) }
}
