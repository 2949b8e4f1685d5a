/** The two servers: Fleetgate, a whole house with a wide role, and mosquitto with mutual TLS and a CA of its own. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import type { Credentials } from '../harness/raw-mqtt.ts';
import type { Peer } from './scene.ts';

const names = { a: 'alder', b: 'birch', c: 'cedar', letters: '0123456789abcdefghijKLM' } as const;
type Devices = Record<keyof typeof names, Credentials & { id: string }>;

/** What the devices of the cases may do: everything below `t/`, and several sessions each. */
const role = {
  severalSessions: true,
  rules: [
    { allow: 'publish', pattern: 't/#', retain: true },
    { allow: 'publish', pattern: '/t/#' },
    { allow: 'publish', pattern: '$t/#' },
    { allow: 'subscribe', pattern: '#' },
  ],
};

export async function startFleetgate(): Promise<Peer & { house: House }> {
  const house = await House.start({ config: 'registry: { enrollRate: 1000 }' });
  const { api } = house;
  await api.call('PUT', '/v1/roles/wide', role);
  await api.call('POST', '/v1/fleets', { id: 'wide', role: 'wide' });
  const devices = {} as Devices;
  for (const [who, id] of Object.entries(names))
    devices[who as keyof typeof names] = await api.enroll('wide', id);
  return {
    house,
    name: 'Fleetgate',
    port: house.port('mqtts'),
    websocket: `wss://127.0.0.1:${house.port('https')}/mqtt`,
    devices,
    foreignId: `${names.b}:other`,
    forbidden: 'forbidden/topic',
    [Symbol.asyncDispose]: () => house[Symbol.asyncDispose](),
  };
}

export async function startMosquitto(): Promise<Peer> {
  const dir = mkdtempSync(join(tmpdir(), 'mosquitto-'));
  const openssl = (line: string) => execFileSync('openssl', line.split(' '), { cwd: dir, stdio: 'pipe' });
  const key = '-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2';
  openssl(`req -x509 ${key} -keyout ca.key -out ca.crt -subj /CN=authority`);
  const issue = (name: string, extra = '') =>
    openssl(
      `req -x509 ${key} -keyout ${name}.key -out ${name}.crt -subj /CN=${name} -CA ca.crt -CAkey ca.key${extra}`,
    );
  issue('server', ' -addext subjectAltName=IP:127.0.0.1');
  const file = (name: string) => readFileSync(join(dir, name), 'utf8');
  const devices = Object.fromEntries(
    Object.entries(names).map(([who, id]) => {
      issue(id);
      return [who, { id, key: file(`${id}.key`), certificate: file(`${id}.crt`), ca: file('ca.crt') }];
    }),
  ) as Devices;
  writeFileSync(
    join(dir, 'acl'),
    'topic readwrite #\ntopic readwrite $t/#\ntopic deny forbidden/#\nuser user\ntopic readwrite #\n',
  );
  const port = await freePort();
  const webPort = await freePort();
  const at = (name: string) => join(dir, name);
  const tls = `cafile ${at('ca.crt')}\ncertfile ${at('server.crt')}\nkeyfile ${at('server.key')}\nrequire_certificate true\n`;
  writeFileSync(
    at('m.conf'),
    `per_listener_settings false\nallow_anonymous true\nacl_file ${at('acl')}\nlog_type none\nset_tcp_nodelay true\nlistener ${port} 127.0.0.1\n${tls}listener ${webPort} 127.0.0.1\nprotocol websockets\n${tls}`,
  );
  // As root it becomes another user, who is to read these.
  chmodSync(dir, 0o755);
  for (const name of ['acl', 'm.conf', 'ca.crt', 'server.crt', 'server.key']) chmodSync(at(name), 0o644);
  const child = spawn('mosquitto', ['-c', at('m.conf')], {
    stdio: 'inherit',
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
  });
  await eventually(async () => {
    const socket = createConnection(port, '127.0.0.1');
    await once(socket, 'connect');
    socket.destroy();
  });
  return {
    name: 'mosquitto',
    port,
    websocket: `wss://127.0.0.1:${webPort}/mqtt`,
    devices,
    foreignId: null,
    forbidden: 'forbidden/topic',
    async [Symbol.asyncDispose]() {
      if (child.exitCode === null) {
        child.kill('SIGTERM');
        await once(child, 'exit');
      }
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  return port;
}
