// Subscriptions with graphql-ws, the reference of graphql-transport-ws, on ws and graphql-js.
import { createServer } from 'node:http'
import { makeExecutableSchema } from './schema.mjs'
import { WebSocketServer } from 'ws'
import { useServer } from 'graphql-ws/use/ws'
import { buyerOf, reserve } from './trade.mjs'

// Each watcher's changes, one after the other.
const watching = new Map()
const publish = (topic, seatChanges) => {
  for (const watcher of watching.get(topic) ?? []) watcher.push({ seatChanges })
}

const changesOf = (topic) => {
  const waiting = []
  let wake = null
  const watcher = {
    push: (value) => {
      if (wake) { wake({ value, done: false }); wake = null } else waiting.push(value)
    },
  }
  if (!watching.has(topic)) watching.set(topic, new Set())
  watching.get(topic).add(watcher)
  return {
    [Symbol.asyncIterator]() { return this },
    next: () => (waiting.length
      ? Promise.resolve({ value: waiting.shift(), done: false })
      : new Promise((resolve) => { wake = resolve })),
    return: () => {
      watching.get(topic).delete(watcher)
      return Promise.resolve({ value: undefined, done: true })
    },
  }
}

const schema = makeExecutableSchema({
  Subscription: { seatChanges: { subscribe: (_, { target }) => changesOf(target.scheduleId) } },
})

const server = createServer(async (request, response) => {
  let body = ''
  for await (const part of request) body += part
  const { variables } = JSON.parse(body)
  const data = variables?.labels ? { reserve: await reserve(buyerOf(request.headers), variables, publish) } : {}
  const answer = JSON.stringify({ data })
  response.writeHead(200, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(answer) })
  response.end(answer)
})

useServer({ schema }, new WebSocketServer({ server, path: '/graphql', perMessageDeflate: false }))
server.listen(Number(process.env.PORT), '127.0.0.1', 2048)
