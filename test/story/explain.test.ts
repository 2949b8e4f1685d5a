/** "Why was this device refused?" is answered in one call: for devices, for strangers, and for handshakes that failed. */
import { execFile } from 'node:child_process';
import { connect as connectTcp } from 'node:net';
import { join } from 'node:path';
import tls, { type ConnectionOptions } from 'node:tls';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Decision } from '#common/contract/decision.ts';
import { Apart } from '../harness/apart.ts';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { ForeignCa } from '../harness/foreign-ca.ts';
import { command, House } from '../harness/house.ts';
import { impostorKey } from '../harness/impostor-key.ts';
import { connectBytes, RawMqtt } from '../harness/raw-mqtt.ts';

let house: House;
let device: DeviceIdentity;
beforeAll(async () => {
  house = await House.start({ config: 'limits: { handshakeTimeout: 500ms, connectRatePerAddress: 60 }' });
  device = await house.api.enroll('plant', 'pump-1');
});
afterAll(() => house[Symbol.asyncDispose]());

const port = () => house.port('mqtts');

async function ask(path: string) {
  const { status, body } = await house.api.call('GET', path);
  expect(status).toBe(200);
  return body as { verdict: string; advice: string | null; items: Decision[] };
}

/** The newest failed handshake whose message says so. */
const failure = (says: RegExp) =>
  eventually(async () => {
    const { items } = await ask('/v1/decisions?reason=handshake-failed&limit=20');
    const found = items.find(({ message }) => says.test(message ?? ''));
    if (!found)
      throw new Error(`nothing says ${says}: ${JSON.stringify(items.map(({ message }) => message))}`);
    return found;
  });

/** Connects by TLS and waits for the end, however it comes. */
async function shake(options: ConnectionOptions): Promise<void> {
  const socket = tls.connect({ host: '127.0.0.1', port: port(), rejectUnauthorized: false, ...options });
  socket.on('error', () => {});
  socket.on('secureConnect', () => socket.end());
  socket.resume();
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
}

async function say(bytes: string | Buffer): Promise<void> {
  const socket = connectTcp(port(), '127.0.0.1');
  socket.on('error', () => {});
  socket.write(bytes);
  socket.resume();
  await new Promise<void>((resolve) => socket.once('close', () => resolve()));
}

const fleetgate = async (...args: string[]) => {
  const run = promisify(execFile);
  return (await run(process.execPath, [command, 'explain', ...args, '--data', join(house.dir, 'data')]))
    .stdout;
};

describe('handshakes that came to nothing', () => {
  test.each<[string, RegExp, () => Promise<void>]>([
    ['plain HTTP', /plain HTTP/, () => say('GET / HTTP/1.1\r\n\r\n')],
    ['plain MQTT', /not TLS/, () => say(connectBytes('pump-1', 5))],
    ['nothing at all', /not done in time/, () => say('')],
    [
      'TLS 1.1',
      /no version of TLS/,
      () => shake({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }),
    ],
    [
      'no cipher in common',
      /no cipher suite/,
      () => shake({ maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA256' }),
    ],
    ['no group in common', /no group/, () => shake({ ecdhCurve: 'P-521' })],
    ['no trust in our door', /does not trust the certificate of this door/, () => distrust()],
  ])('%s', async (_what, says, doIt) => {
    await doIt();
    const found = await failure(says);
    expect(found).toMatchObject({ admitted: false, reason: 'handshake-failed', device: null, leaf: null });
    expect(found.address).toMatch(/^127\.0\.0\.1:\d+$/);
  });

  /** OpenSSL's own client says why it leaves; Node's just leaves. */
  async function distrust(): Promise<void> {
    const args = ['s_client', '-connect', `127.0.0.1:${port()}`, '-verify_return_error'];
    await promisify(execFile)('openssl', args).catch(() => {});
  }

  test('a certificate without its key is named, with issuer and serial number', async () => {
    await shake({ cert: device.certificate, key: impostorKey(device.certificate) });
    const found = await failure(/could not prove that it has its key/);
    expect(found).toMatchObject({
      fingerprint: device.fingerprint,
      leaf: { names: [expect.stringMatching(/\/device\/pump-1$/)] },
    });
    const { items } = await ask(`/v1/decisions?serial=${found.leaf!.serialNumber}&reason=handshake-failed`);
    expect(items).toContainEqual(found);
  });
});

describe('strangers', () => {
  test('a certificate that nobody knows is told with subject, issuer, serial number and the check that failed', async () => {
    const ca = ForeignCa.root(house.dir, 'acme');
    const stranger = ca.leaf('valve-9', device.ca, { serial: '0BADCAFE' });
    using raw = await RawMqtt.open(stranger, port());
    raw.send(connectBytes('valve-9', 5));
    await raw.ended();
    const { items, verdict, advice } = await ask('/v1/decisions?serial=0B:AD:CA:FE');
    expect(items).toHaveLength(1);
    expect(items[0]).toMatchObject({
      device: null,
      clientId: 'valve-9',
      reason: 'untrusted-certificate',
      leaf: { subject: 'CN="valve-9"', issuer: 'CN="acme"', serialNumber: '0badcafe' },
    });
    expect(items[0]!.checks.find(({ passed }) => !passed)?.name).toBe('chain trusted');
    expect(verdict).toMatch(
      /^A peer that is no known device was refused at .*does not lead to a trust anchor/,
    );
    expect(advice).toMatch(/anchors add/);
    // And by whom it claims to be.
    expect((await ask('/v1/devices/valve-9/decisions')).verdict).toMatch(/Somebody without a certificate/);
  });
});

describe('devices', () => {
  test('one that was never seen: what is known of it, and what would come of it now', async () => {
    await house.api.enroll('plant', 'shelf-1');
    const { body } = await house.api.call('GET', '/v1/devices/shelf-1/decisions');
    expect(body).toMatchObject({
      device: { id: 'shelf-1', fleet: 'plant', state: 'active' },
      items: [],
      advice: null,
      outlook: [{ gateway: 'gateway', admitted: true, reason: null }],
    });
    expect(body.verdict).toMatch(/no gateway remembers it at its door\. .*would be admitted now, until /);
    await house.api.call('POST', '/v1/devices/shelf-1/disable', {});
    const disabled = await ask('/v1/devices/shelf-1/decisions');
    expect(disabled.verdict).toMatch(/is disabled.*would be refused now: This device is disabled/);
    expect(disabled.advice).toMatch(/fleetgate devices enable shelf-1/);
  });

  test('one that does not exist', async () => {
    const { verdict, advice } = await ask('/v1/devices/nobody/decisions');
    expect(verdict).toBe('nobody is not registered, and no gateway remembers it at its door.');
    expect(advice).toMatch(/fleetgate enroll --device nobody/);
  });

  test('one that was refused: the sentence, the check, and what to do, in one command', async () => {
    using raw = await RawMqtt.open(device, port());
    raw.send(connectBytes('somebody-else', 5));
    expect(await raw.ended()).toBe(0x85);
    const told = await fleetgate('pump-1');
    const [verdict] = told.split('\n');
    expect(verdict).toMatch(/^pump-1 was refused at .*The client id of this device is pump-1\./);
    expect(told).toMatch(/✗\tclient id bound\tsomebody-else/);
    expect(told).toMatch(/What to do: Set the client id of the device to pump-1/);
    expect(told).toMatch(/serial +[0-9a-f]{16}/);
    const json = JSON.parse(
      await fleetgate('--address', '127.0.0.1', '--reason', 'client-id-mismatch', '--json'),
    );
    expect(json.items[0]).toMatchObject({ device: 'pump-1', message: expect.stringMatching(/client id/) });
  });

  test('a question about nothing is one of usage', async () => {
    await expect(fleetgate()).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/Name a device/),
    });
  });
});

test('a gateway elsewhere answers too: for a handshake that failed, and for a device that never came', {
  timeout: 90_000,
}, async () => {
  await using apart = await Apart.start();
  const shelf = await apart.api.enroll('plant', 'shelf-2');
  const elsewhere = connectTcp(Number(new URL(apart.gateway.mqtts).port), '127.0.0.1');
  elsewhere.on('error', () => {});
  elsewhere.end('GET / HTTP/1.1\r\n\r\n');
  await eventually(async () => {
    const { body } = await apart.api.call('GET', '/v1/decisions?reason=handshake-failed');
    expect(body.items[0]).toMatchObject({ gateway: 'north', message: expect.stringMatching(/plain HTTP/) });
  });
  await eventually(async () => {
    const { body } = await apart.api.call('GET', '/v1/devices/shelf-2/decisions');
    expect(body.outlook).toMatchObject([
      { gateway: 'north', admitted: true, fingerprint: shelf.fingerprint },
    ]);
  });
});

test('connections over a limit are counted by the second, and do not wash out what was known', async () => {
  const before = await ask('/v1/devices/pump-1/decisions');
  const sockets = Array.from({ length: 400 }, () => {
    const socket = connectTcp(port(), '127.0.0.1');
    socket.on('error', () => {});
    return socket;
  });
  const { items } = await eventually(async () => {
    const answer = await ask('/v1/decisions?reason=connection-rate');
    expect(answer.items.reduce((sum, { count }) => sum + count, 0)).toBeGreaterThan(50);
    return answer;
  });
  expect(items.length).toBeLessThan(10);
  expect(items[0]!.message).toMatch(/within a second from 127\.0\.0\.1/);
  expect((await ask('/v1/devices/pump-1/decisions')).items).toEqual(before.items);
  for (const socket of sockets) socket.destroy();
});
