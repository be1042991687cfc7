// GraphQL on Fastify with mercurius, its JIT on: the fastest of the servers on Node that are in wide use.
import Fastify from 'fastify'
import mercurius from 'mercurius'
import { SCHEMA, buyerOf, loaders, organizations, reserve, schedule, search, searchAtOnce } from './trade.mjs'

const atOnce = process.argv.includes('--at-once')
const app = Fastify({ logger: false })

await app.register(mercurius, {
  schema: SCHEMA,
  jit: 1,
  path: '/graphql',
  loaders: atOnce ? {} : loaders,
  subscription: { context: () => ({}) },
  context: ({ headers }) => ({ buyer: buyerOf(headers) }),
  resolvers: {
    Query: {
      organizations: (_, { first }) => organizations(first),
      schedules: (_, { first, search: asked }) => (atOnce ? searchAtOnce : search)(first, asked),
      schedule: (_, { id }) => schedule(id),
    },
    Mutation: {
      reserve: (_, { input }, { buyer, pubsub }) =>
        reserve(buyer, { schedule: input.target.seats.scheduleId, labels: input.target.seats.labels },
          (topic, seatChanges) => pubsub.publish({ topic, payload: { seatChanges } })),
    },
    Subscription: {
      seatChanges: { subscribe: (_, { target }, { pubsub }) => pubsub.subscribe(target.scheduleId) },
    },
  },
})

await app.listen({ host: '127.0.0.1', port: Number(process.env.PORT) })
