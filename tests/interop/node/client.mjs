// Calls a running session-service as any program in Node would, and prints a transcript. The programs in
// the other languages print the same.
//
//     node client.mjs <descriptor set> served <address> <service key>
//     node client.mjs <descriptor set> stalled <address> <access token>     while the service waits for its store
//
// The descriptor set is the project's own, with grpc.health.v1 and grpc.reflection.v1alpha added.
import { readFileSync } from 'node:fs'

import grpc from '@grpc/grpc-js'
import protoLoader from '@grpc/proto-loader'

import { served } from './served.mjs'
import { decodeWith } from './transcript.mjs'
import { stalled } from './wire.mjs'

const [file, scenario, address, credential] = process.argv.slice(2)
const AS_THE_PROTOS_SAY = { keepCase: true, defaults: true, enums: String, longs: String }
const definitions = protoLoader.loadFileDescriptorSetFromBuffer(readFileSync(file), AS_THE_PROTOS_SAY)
const { session, grpc: standard } = grpc.loadPackageDefinition(definitions)
const plain = grpc.credentials.createInsecure()
const gzip = { 'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip }

const clients = {
  sessions: new session.v1.SessionService(address, plain),
  admin: new session.v1.AdminService(address, plain),
  health: new standard.health.v1.Health(address, plain),
  reflection: new standard.reflection.v1alpha.ServerReflection(address, plain),
}
decodeWith(definitions)
// A client that compresses does so until the first answer only: grpc-js does not find gzip in a server's list
// whose names have blanks between them.
const compressing = () => new session.v1.SessionService(address, plain, gzip)
await { served, stalled }[scenario]({ ...clients, compressing }, credential)
for (const client of Object.values(clients)) client.close()
