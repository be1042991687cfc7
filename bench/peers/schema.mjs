// The schema of Holdfast with resolvers, for graphql-js alone.
import { buildSchema } from 'graphql'
import { SCHEMA } from './trade.mjs'

export const makeExecutableSchema = (resolvers) => {
  const schema = buildSchema(SCHEMA)
  for (const [type, fields] of Object.entries(resolvers)) {
    for (const [field, functions] of Object.entries(fields)) Object.assign(schema.getType(type).getFields()[field], functions)
  }
  return schema
}
