// About the transport: each of these lines is the same on every engine of the service.

import { call, callRaw, ended, metadata } from './calls.mjs'
import { codeOf, report } from './transcript.mjs'

const AT_ONCE = 50
const SOON_MS = 300
const IN_FLIGHT_MS = 100
const SESSION_V1 = 'session.v1.SessionService'

const soon = () => ({ deadline: Date.now() + SOON_MS })

export async function wire({ sessions, health, reflection, compressing }, token) {
  await metadataValues(sessions, token)
  await compressed(compressing, token)
  await tooLarge(sessions)
  await bytesAsTheyAre(sessions)
  await manyAtOnce(sessions, token)
  await healthChecks(health)
  await healthWatches(health)
  await reflected(reflection)
}

async function metadataValues(sessions, token) {
  const meta = metadata(
    ['authorization', `Bearer ${token}`],
    ['x-trace-bin', Buffer.from([0x00, 0xff, 0xfe])],
    ['x-trace-bin', Buffer.alloc(0)],
    ['x-note', 'plain'],
  )
  const [error] = await call(sessions, 'VerifyToken', {}, { meta })
  report('binary metadata', error)
}

async function compressed(compressing, token) {
  for (const [name, sent] of [
    ['gzip', token],
    ['gzip of much', 'x'.repeat(20_000)],
    ['gzip of too much', 'x'.repeat(1 << 20)],
  ]) {
    const client = compressing()
    const [error] = await call(client, 'VerifyToken', { token: sent })
    report(name, error)
    client.close()
  }
}

async function tooLarge(sessions) {
  const [error] = await call(sessions, 'Login', { username: 'x'.repeat(70_000) })
  report('message too large', error)
}

async function bytesAsTheyAre(client) {
  for (const [name, path, message] of [
    ['no message', `/${SESSION_V1}/Login`, Buffer.from([0xff, 0xff, 0xff])],
    ['unknown method', `/${SESSION_V1}/NoSuch`, Buffer.alloc(0)],
    ['unknown service', '/no.Such/Method', Buffer.alloc(0)],
  ]) {
    report(name, await callRaw(client, path, message))
  }
}

async function manyAtOnce(sessions, token) {
  const calls = Array.from({ length: AT_ONCE }, () => call(sessions, 'VerifyToken', { token }))
  const codes = {}
  for (const [error] of await Promise.all(calls)) codes[codeOf(error)] = (codes[codeOf(error)] ?? 0) + 1
  report('many at once', null, { codes })
}

async function healthChecks(health) {
  for (const service of ['', SESSION_V1, 'no.Such']) {
    const [error, answer] = await call(health, 'Check', { service })
    report(`health of '${service}'`, error, answer && { status: answer.status })
  }
}

/** Streams that the server would never end. */
async function healthWatches(health) {
  await watch('watch until the deadline', health.Watch({ service: SESSION_V1 }, soon()), () => {})
  await watch('watch and cancel', health.Watch({ service: SESSION_V1 }), (stream) => stream.cancel())
  await watch('watch what is not there', health.Watch({ service: 'no.Such' }), (stream) => stream.cancel())
}

/** Reads states until the stream ends, and calls back at each. */
async function watch(name, stream, callback) {
  const states = []
  const error = await ended(stream, (answer) => {
    states.push(answer.status)
    callback(stream)
  })
  report(name, error, { states })
}

/** Asks three questions on one stream, each once the one before is answered. */
async function reflected(reflection) {
  const questions = [
    { list_services: '' },
    { file_containing_symbol: SESSION_V1 },
    { file_containing_symbol: 'no.Such' },
  ]
  const answers = []
  const stream = reflection.ServerReflectionInfo()
  const askNext = () => (questions.length ? stream.write(questions.shift()) : stream.end())
  const done = ended(stream, (answer) => {
    answers.push(answer)
    askNext()
  })
  askNext()
  const error = await done
  const [list, file, unknown] = answers
  const names = list.list_services_response.service.map((each) => each.name)
  report('reflection', error, {
    services: names.filter((name) => name.startsWith('session.')).sort(),
    files: file.file_descriptor_response.file_descriptor_proto.length,
    unknown: unknown.error_response.error_code,
  })
}

/** Calls a service that waits for its store: until the deadline, until given up, until it gives up. */
export async function stalled({ sessions }, token) {
  const [late] = await call(sessions, 'VerifyToken', { token }, { options: soon() })
  report('deadline', late)
  const started = (begun) => setTimeout(() => begun.cancel(), IN_FLIGHT_MS)
  const [cancelled] = await call(sessions, 'VerifyToken', { token }, { started })
  report('cancel', cancelled)
  const [away] = await call(sessions, 'VerifyToken', { token })
  report('store away', away)
}
