// grpc-js calls back; the cases read better with promises of what became of a call.
import grpc from '@grpc/grpc-js'

/** Metadata of name and value pairs; a name may come again. */
export function metadata(...pairs) {
  const made = new grpc.Metadata()
  for (const [name, value] of pairs) made.add(name, value)
  return made
}

export const bearer = (token) => metadata(['authorization', `Bearer ${token}`])

/**
 * Makes a unary call; gives the error or null, and the answer. `started` is told the call, to cancel it.
 */
export function call(client, method, request, { meta = metadata(), options = {}, started = () => {} } = {}) {
  return new Promise((resolve) => {
    started(client[method](request, meta, options, (error, answer) => resolve([error, answer])))
  })
}

/** Sends bytes as they are; gives the error or null. */
export function callRaw(client, path, message) {
  const asItIs = (value) => value
  return new Promise((resolve) => {
    client.makeUnaryRequest(path, asItIs, asItIs, message, resolve)
  })
}

/** Gives the error a stream ends with, or null; `received` is told each message. */
export function ended(stream, received) {
  return new Promise((resolve) => {
    stream.on('data', received)
    stream.on('error', resolve)
    stream.on('end', () => resolve(null))
  })
}
