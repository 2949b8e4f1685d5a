/** What is tried against a device gateway, one test an attack, named by what it would have gained. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House, readEvents } from '../harness/house.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { withPrograms } from '../harness/peer-program.ts';
import { connectBytes, packet, RawMqtt } from '../harness/raw-mqtt.ts';

let house: House;
let victim: DeviceIdentity;
let mallory: DeviceIdentity;
let backend: DeviceIdentity;
const port = () => house.port('mqtts');

beforeAll(async () => {
  house = await House.start({
    config: 'mqtt: { connectTimeout: 2s, maxKeepAlive: 2s }\nlimits: { handshakeTimeout: 2s }\n',
  });
  [victim, mallory, backend] = [
    await house.api.enroll('plant', 'victim'),
    await house.api.enroll('plant', 'mallory'),
    await house.api.enroll('plant', 'backend'),
  ];
  await house.api.call('PATCH', '/v1/devices/backend', { role: 'backend' });
});
afterAll(() => house[Symbol.asyncDispose]());

const subscribeTo = (...filters: string[]) => packet(0x82, [0, 1, 0], ...filters.flatMap((f) => [f, [1]]));

describe('tickets and listeners', () => {
  test('a TLS ticket of one listener is worth nothing at the other (CVE-2025-23419)', async () => {
    using first = await RawMqtt.connected(victim, port());
    const ticket = await eventually(() => {
      const session = first.socket.getSession();
      if (!session || !first.socket.getTLSTicket()) throw new Error('no ticket yet');
      return session;
    });
    using other = await RawMqtt.open(victim, house.port('https'), 5, { session: ticket });
    expect(other.socket.isSessionReused()).toBe(false);
  });

  test('a revocation holds at every listener: MQTT and HTTPS (CVE-2026-28755)', async () => {
    const gone = await house.api.enroll('plant', 'gone');
    await house.api.call('POST', '/v1/devices/gone/revoke');
    using raw = await RawMqtt.open(gone, port());
    raw.send(connectBytes('gone', 5));
    expect(await raw.ended()).toBe(0x8a);
    const { Agent, request } = await import('undici');
    const agent = new Agent({ connect: { ca: gone.ca, cert: gone.certificate, key: gone.key } });
    const answer = await request(`${house.doors.https}/v1/me`, { dispatcher: agent });
    expect(answer.statusCode).toBe(403);
    await answer.body.dump();
    await agent.destroy();
  });

  test('a connection without a certificate is refused, and told so', async () => {
    using raw = await RawMqtt.open({ ca: victim.ca }, port());
    raw.send(connectBytes('victim', 5));
    expect(await raw.ended()).toBe(0x87);
  });
});

test('a revoked device gets no last word: neither its Will nor what was queued leaves', async () => {
  const sad = await house.api.enroll('plant', 'sad');
  const { client } = await connectDevice(sad, port(), {
    will: { topic: 'devices/sad/telemetry/will', payload: Buffer.from('"last word"'), qos: 1, retain: false },
  });
  client.on('error', () => {});
  await client.subscribeAsync('devices/sad/commands/#', { qos: 1 });
  await house.api.call('POST', '/v1/devices/sad/revoke');
  // A Will that is allowed to go does: so the absence of the other means something.
  const { client: happy } = await connectDevice(victim, port(), {
    will: {
      topic: 'devices/victim/telemetry/will',
      payload: Buffer.from('"farewell"'),
      qos: 1,
      retain: false,
    },
  });
  happy.on('error', () => {});
  happy.stream.destroy();
  await eventually(async () => {
    const words = (await house.delivered()).map((event) => event.data);
    expect(words).toContain('farewell');
  });
  const words = (await house.delivered()).map((event) => event.data);
  expect(words).not.toContain('last word');
});

withPrograms(['openssl'], 'certificates that Node would accept', () => {
  const dir = mkdtempSync(join(tmpdir(), 'leaf-'));
  afterAll(() => rmSync(dir, { recursive: true }));

  /** A certificate signed by the fleet's own issuing CA, as if its key had been misused. */
  function forge(name: string, extensions: string): DeviceIdentity {
    const sh = (script: string) => execFileSync('bash', ['-euc', script], { cwd: dir, stdio: 'pipe' });
    const ca = join(house.dir, 'data', 'ca');
    writeFileSync(join(dir, `${name}.ext`), extensions);
    sh(
      `openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ${name}.key -subj /CN=victim -out ${name}.csr
       openssl x509 -req -in ${name}.csr -CA ${ca}/issuing.crt -CAkey ${ca}/issuing.key -passin file:${join(house.dir, 'data', 'ca.passphrase')} -set_serial 0x$(openssl rand -hex 16) -days 1 -extfile ${name}.ext -out ${name}.crt`,
    );
    return {
      ...victim,
      key: readFileSync(join(dir, `${name}.key`), 'utf8'),
      certificate:
        readFileSync(join(dir, `${name}.crt`), 'utf8') + readFileSync(join(ca, 'issuing.crt'), 'utf8'),
    };
  }

  test.each([
    ['without an extended key usage', 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature'],
    ['with anyExtendedKeyUsage', 'basicConstraints=CA:FALSE\nextendedKeyUsage=anyExtendedKeyUsage'],
    ['for serverAuth only', 'basicConstraints=CA:FALSE\nextendedKeyUsage=serverAuth'],
    ['that is a CA', 'basicConstraints=critical,CA:TRUE\nextendedKeyUsage=clientAuth\nkeyUsage=keyCertSign'],
    [
      'that the registry did not record',
      'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=clientAuth',
    ],
  ])('a certificate of our own CA %s is refused', async (what, extensions) => {
    using raw = await RawMqtt.open(forge(what.replaceAll(' ', '-'), extensions), port());
    raw.send(connectBytes('victim', 5));
    expect(await raw.ended()).toBe(0x87);
  });

  test('a device certificate used as an issuer leads nowhere', async () => {
    writeFileSync(join(dir, 'v.crt'), victim.certificate);
    writeFileSync(join(dir, 'v.key'), victim.key);
    execFileSync(
      'bash',
      [
        '-euc',
        `openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout sub.key -subj /CN=victim -out sub.csr
         printf 'basicConstraints=CA:FALSE\\nextendedKeyUsage=clientAuth' > sub.ext
         openssl x509 -req -in sub.csr -CA v.crt -CAkey v.key -set_serial 7 -days 1 -extfile sub.ext -out sub.crt`,
      ],
      { cwd: dir, stdio: 'pipe' },
    );
    const sub = {
      ...victim,
      key: readFileSync(join(dir, 'sub.key'), 'utf8'),
      certificate: readFileSync(join(dir, 'sub.crt'), 'utf8') + victim.certificate,
    };
    using raw = await RawMqtt.open(sub, port());
    raw.send(connectBytes('victim', 5));
    expect(await raw.ended()).toBe(0x87);
  });
});

describe('before CONNECT', () => {
  const residentKb = () =>
    Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${house.child.pid}/status`, 'utf8'))![1]);

  test('a large announced length is refused when it is announced, not buffered (CVE-2017-7651)', async () => {
    const beforeKb = residentKb();
    for (let n = 0; n < 8; n++) {
      using raw = await RawMqtt.open(mallory, port());
      raw.send([0x10, 0xff, 0xff, 0xff, 0x7f]);
      raw.send(Buffer.alloc(1024 * 1024));
      await raw.ended();
    }
    expect(residentKb() - beforeKb).toBeLessThan(40_000);
  });

  test('a socket that is silent after the handshake is ended', async () => {
    using raw = await RawMqtt.open(mallory, port());
    await raw.ended();
  });

  test('half a CONNECT does not keep it open', async () => {
    using raw = await RawMqtt.open(mallory, port());
    raw.send(connectBytes('mallory', 5).subarray(0, 6));
    await raw.ended();
  });

  test('a peer that never speaks TLS is ended by the handshake deadline', async () => {
    const { connect } = await import('node:net');
    const socket = connect(port(), '127.0.0.1');
    socket.on('error', () => {});
    await new Promise<void>((resolve) => socket.once('close', () => resolve()));
  });
});

test.each([0, 65_535])(
  'keep-alive %i does not keep a dead connection for ever (CVE-2020-13849)',
  async (keepalive) => {
    using raw = await RawMqtt.open(mallory, port());
    raw.send(connectBytes('mallory', 5, { keepalive }));
    expect((await raw.next('connack')).properties.serverKeepAlive).toBe(2);
    expect(await raw.ended()).toBe(0x8d);
  },
);

describe('names that mean more than a name', () => {
  test.each([
    '#',
    '+',
    'a/b',
    '$SYS',
    'a b',
    'ünder',
    'x'.repeat(65),
    '',
    '../../etc',
    '${device.id}',
    'a\0b',
  ])('no device is ever called %j (CVE-2017-7650)', async (deviceId) => {
    const token = await house.api.call('POST', '/v1/fleets/plant/tokens', {});
    const { makeCsr } = await import('#common/x509/csr.ts');
    const csr = await makeCsr(mallory.privateKey, 'x');
    const answer = await house.api.call(
      'POST',
      '/v1/enroll',
      { deviceId, csr },
      { authorization: `Bearer ${token.body.token}` },
    );
    expect(answer.status).toBe(400);
  });

  test.each(['#', '+', 'victim/../mallory', 'mallory/1', 'mallory:1', 'x'.repeat(65_000), 'MALLORY'])(
    'a client id like %s is not bound to the certificate, and refused',
    async (clientId) => {
      using raw = await RawMqtt.open(mallory, port());
      raw.send(connectBytes(clientId, 5));
      const code = await raw.ended();
      expect([0x85, null]).toContain(code);
    },
  );
});

test("another device's client id is refused: neither its session, nor its queue, nor its Will", async () => {
  using alive = await RawMqtt.connected(victim, port());
  using raw = await RawMqtt.open(mallory, port());
  raw.send(
    connectBytes('victim', 5, {
      clean: false,
      will: { topic: 'devices/victim/telemetry', payload: Buffer.from('x'), qos: 1, retain: false },
    }),
  );
  expect(await raw.ended()).toBe(0x85);
  alive.sendPacket({ cmd: 'pingreq' });
  await alive.next('pingresp');
});

test('a Will on a topic that is not its own is refused at CONNECT', async () => {
  using raw = await RawMqtt.open(mallory, port());
  raw.send(
    connectBytes('mallory', 5, {
      will: { topic: 'devices/victim/telemetry', payload: Buffer.from('x'), qos: 1, retain: false },
    }),
  );
  expect(await raw.ended()).toBe(0x87);
});

test('MQTT 3.1.1: an empty client id cannot keep a session (CVE-2025-56352)', async () => {
  using raw = await RawMqtt.open(mallory, port(), 4);
  raw.send(packet(0x10, 'MQTT', [4, 0, 0, 60], ''));
  expect(await raw.ended()).toBe(2);
});

test("MQTT 5: an empty client id is the device's own id, with its session and nobody else's", async () => {
  using raw = await RawMqtt.open(mallory, port(), 5);
  raw.send(packet(0x10, 'MQTT', [5, 0, 0, 60, 5, 0x11, 0, 0, 0x0e, 0x10], ''));
  const { reasonCode, properties } = await raw.next('connack');
  expect([reasonCode, properties.assignedClientIdentifier]).toEqual([0, 'mallory']);
  using again = await RawMqtt.connected(mallory, port(), 5, { clean: true });
  expect(await raw.ended()).toBe(0x8e);
  expect(again.closed).toBe(false);
});

describe('filters around the rules', () => {
  test.each([
    '#',
    '+/#',
    '/#',
    '$SYS/#',
    '$x',
    '$share/g/devices/victim/commands/#',
    '$share/devices/victim/commands/#',
    '$share//devices/mallory/commands/#',
    '$share/g',
    '$share/+/devices/mallory/commands/#',
    'devices/+/commands/#',
    'devices/victim/commands/#',
    'devices/victim/commands/1/open',
    'devices/#',
  ])('a device may not subscribe to %s', async (filter) => {
    using raw = await RawMqtt.connected(mallory, port());
    raw.send(subscribeTo(filter));
    const suback = await eventually(async () => {
      const found = raw.packets.find(({ cmd }) => cmd === 'suback' || cmd === 'disconnect');
      if (!found) throw new Error('no answer');
      return found as { cmd: string; granted?: number[] };
    });
    if (suback.cmd === 'suback') expect(suback.granted![0]).toBeGreaterThanOrEqual(0x80);
  });

  test.each(['$SYS/broker', '$share/g/x', 'devices/victim/telemetry', 'other', 'devices/mallory/errors'])(
    'a device may not publish to %s',
    async (topic) => {
      using raw = await RawMqtt.connected(mallory, port());
      raw.send(packet(0x32, topic, [0, 9, 0], [120]));
      expect((await raw.next('puback')).reasonCode).toBe(0x87);
    },
  );

  test('of a SUBSCRIBE that mixes allowed and denied filters only the allowed is in force', async () => {
    using raw = await RawMqtt.connected(backend, port());
    raw.send(subscribeTo('devices/+/telemetry/#', 'devices/+/commands/#', '#'));
    expect((await raw.next('suback')).granted).toEqual([1, 0x87, 0x87]);
  });

  test('rights that are withdrawn end the subscription of a live session (CVE-2021-34434)', async () => {
    const fleeting = await house.api.enroll('plant', 'fleeting');
    await house.api.call('PATCH', '/v1/devices/fleeting', { role: 'backend' });
    using raw = await RawMqtt.connected(fleeting, port());
    raw.send(subscribeTo('devices/+/telemetry/#'));
    await raw.next('suback');
    using speaker = await RawMqtt.connected(victim, port());
    const say = (text: string) =>
      speaker.send(packet(0x30, 'devices/victim/telemetry', [0], [...Buffer.from(text)]));
    say('"before"');
    await raw.next('publish');
    await house.api.call('PATCH', '/v1/devices/fleeting', { role: 'device' });
    say('"after"');
    await eventually(async () =>
      expect((await house.delivered()).map(({ data }) => data)).toContain('after'),
    );
    await systemClock.sleep(100);
    expect(raw.packets.filter(({ cmd }) => cmd === 'publish')).toEqual([]);
  });
});

test('QoS 2 packet identifiers that are never released are bounded, and a PUBREL out of the blue is harmless', async () => {
  using raw = await RawMqtt.connected(mallory, port());
  raw.send(packet(0x62, [0x12, 0x34]));
  expect((await raw.next('pubcomp')).reasonCode).toBe(0x92);
  for (let id = 1; id <= 1001; id++)
    raw.send(packet(0x34, 'devices/mallory/telemetry', [id >> 8, id & 255, 0], [49]));
  expect(await raw.ended()).toBe(0x93);
});

test('a QoS 2 PUBLISH that is sent again is taken once', async () => {
  using raw = await RawMqtt.connected(mallory, port());
  for (const head of [0x34, 0x3c, 0x3c]) {
    raw.send(packet(head, 'devices/mallory/telemetry/twice', [0, 5, 0], [...Buffer.from('"once"')]));
    await raw.next('pubrec');
  }
  raw.send(packet(0x62, [0, 5]));
  await raw.next('pubcomp');
  await eventually(async () => expect(await said('"once"')).toBe(1));
  async function said(text: string) {
    return (await readEvents(join(house.dir, 'data', 'telemetry'))).filter(
      (event) => JSON.stringify(event.data) === text,
    ).length;
  }
});

test('two connects of one device at once leave exactly one alive', async () => {
  for (let round = 0; round < 25; round++) {
    const racers = await Promise.all(Array.from({ length: 4 }, () => RawMqtt.open(mallory, port())));
    for (const racer of racers) racer.send(connectBytes('mallory', 5));
    await eventually(() => expect(racers.filter(({ closed }) => !closed)).toHaveLength(1));
    const { body } = await house.api.call('GET', '/v1/devices/mallory');
    expect(body.sessions).toHaveLength(1);
    for (const racer of racers) racer[Symbol.dispose]();
  }
});
