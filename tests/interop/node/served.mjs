// A login's life, as any program in Node would live it.
import { bearer, call, metadata } from './calls.mjs'
import { report } from './transcript.mjs'
import { wire } from './wire.mjs'

const USERNAME = 'zoë'
const PASSWORD = 'correct horse battery'

export async function served(clients, key) {
  const { sessions, admin } = clients
  const meta = metadata(['x-service-key', key])
  await users(admin, meta)
  await refusedLogins(sessions)
  const login = await logIn(sessions)
  await use(sessions, login)
  await wire(clients, login.access_token)
  await end(sessions, login)
  await throttled(sessions)
  await stats(admin, meta)
}

async function users(admin, meta) {
  const user = { username: USERNAME, password: PASSWORD, roles: ['reader', 'writer'] }
  const [error, created] = await call(admin, 'CreateUser', user, { meta })
  const { username, roles, created_time } = created.user
  report('create user', error, { username, roles, created: created_time !== null })
  const [again] = await call(admin, 'CreateUser', user, { meta })
  report('create user again', again)
  const [closed] = await call(admin, 'GetStats', {})
  report('operator without a key', closed)
}

async function refusedLogins(sessions) {
  const [wrong] = await call(sessions, 'Login', { username: USERNAME, password: 'wrong' })
  report('login with a wrong password', wrong)
  const [bad] = await call(sessions, 'Login', { username: 'a b', device: { ip_address: 'nowhere' } })
  report('login with bad fields', bad)
}

async function logIn(sessions) {
  const device = { device_id: 'd-1', name: 'Büro 🖥' }
  const [error, login] = await call(sessions, 'Login', { username: USERNAME, password: PASSWORD, device })
  const { token_type, expires_in, session_expire_time, user, new_device } = login
  report('login', error, {
    token_type,
    expires_in,
    session_hours: Math.round((Number(session_expire_time.seconds) - Date.now() / 1000) / 3600),
    username: user.username,
    roles: user.roles,
    new_device,
  })
  return login
}

async function use(sessions, login) {
  const meta = bearer(login.access_token)
  const [error, checked] = await call(sessions, 'VerifyToken', {}, { meta })
  const { username, roles, session_id } = checked
  report('check by metadata', error, { username, roles, same_session: session_id === login.session_id })
  const [failed, again] = await call(sessions, 'VerifyToken', { token: login.access_token })
  report('check by field', failed, { same_user: again.user_id === login.user.user_id })
  const [unlisted, list] = await call(sessions, 'ListSessions', {}, { meta })
  const devices = list.sessions.map(({ device, current }) => ({
    id: device.device_id,
    name: device.name,
    current,
  }))
  report('list', unlisted, { total_size: list.total_size, devices })
  const [over] = await call(sessions, 'Login', { username: USERNAME, password: PASSWORD })
  report('login over the limit', over)
  const [unknown] = await call(sessions, 'RevokeSession', { session_id: 'A'.repeat(22) }, { meta })
  report('revoke a session that is not there', unknown)
  const [stale, refreshed] = await call(sessions, 'RefreshToken', { refresh_token: login.refresh_token })
  report('refresh', stale, {
    same_session: refreshed.session_id === login.session_id,
    new_token: refreshed.access_token !== login.access_token,
  })
}

async function end(sessions, login) {
  const meta = bearer(login.access_token)
  for (const [name, method, request, options] of [
    ['logout', 'Logout', {}, { meta }],
    ['check after logout', 'VerifyToken', {}, { meta }],
    ['refresh after logout', 'RefreshToken', { refresh_token: login.refresh_token }],
    ['check without a token', 'VerifyToken', {}],
    ['check of nonsense', 'VerifyToken', { token: 'nonsense' }],
  ]) {
    const [error] = await call(sessions, method, request, options)
    report(name, error)
  }
}

/** Guesses until the service has had enough, which it has after two (as configured). */
async function throttled(sessions) {
  for (const attempt of [1, 2, 3]) {
    const [error] = await call(sessions, 'Login', { username: 'nobody', password: 'guess' })
    report(`guess ${attempt}`, error)
  }
}

/** Reads 64-bit numbers; a session is counted a moment after it has begun. */
async function stats(admin, meta) {
  let error, answer
  do {
    ;[error, answer] = await call(admin, 'GetStats', {}, { meta })
  } while (answer?.created_sessions === '0')
  report('stats', error, { users: answer.users, counted: BigInt(answer.created_sessions) > 0n })
}
