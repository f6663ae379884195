// Prints the transcript: one JSON object per case, with nothing in it that differs between runs.
import grpc from '@grpc/grpc-js'

/** How a call ended, and either what its answer said or what its error did. */
export function report(name, error, answer = {}) {
  const line = { case: name, code: codeOf(error), ...(error && details(error)), ...answer }
  process.stdout.write(JSON.stringify(line) + '\n')
}

/** A status code by the name that all languages share. */
export const codeOf = (error) => grpc.status[error?.code ?? grpc.status.OK]

let types

/** Tells which definitions the rich details are decoded with. */
export function decodeWith(definitions) {
  types = definitions
}

/** The rich details; an error without them has a text of the library's own, left out. */
function details(error) {
  const [encoded] = error.metadata?.get('grpc-status-details-bin') ?? []
  if (!encoded) return {}
  const status = types['google.rpc.Status'].deserialize(encoded)
  return Object.assign({}, ...status.details.map(({ type_url, value }) => fact(error, type_url, value)))
}

function fact(error, url, value) {
  const type = url.slice(url.lastIndexOf('/') + 1)
  const detail = types[type].deserialize(value)
  switch (type) {
    case 'google.rpc.ErrorInfo':
      return { message: error.details, ...detail, metadata: fromEntries(detail.metadata) }
    case 'google.rpc.RetryInfo':
      return { retry_seconds: retrySeconds(detail.retry_delay) }
    case 'google.rpc.BadRequest':
      return { violations: detail.field_violations.map((each) => [each.field, each.description]) }
    default:
      return {}
  }
}

/** A map, which a message read by a descriptor set has as a list of its entries. */
const fromEntries = (entries) => Object.fromEntries(entries.map(({ key, value }) => [key, value]))

/** Rounds what is over a minute up to full ones: it shrinks while the program runs. */
function retrySeconds({ seconds, nanos }) {
  const delay = Number(seconds) + nanos / 1e9
  return delay <= 60 ? delay : Math.ceil(delay / 60) * 60
}
