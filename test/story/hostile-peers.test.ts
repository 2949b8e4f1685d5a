/**
 * Attacks 11, 15 and 26: crowds that are slow, silent, frozen or refused, at every stage of a connection. Honest devices
 * are served meanwhile, every one, every time; memory is bounded; and nothing of it is in the log. How much slower they
 * are served is measured by `npm run bench -- hostile`, on a machine that does nothing else.
 */
import { once } from 'node:events';
import tls from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { ForeignCa } from '../harness/foreign-ca.ts';
import {
  type Attack,
  attackNames,
  HostileCrowd,
  honestService,
  p99,
  residentKb,
} from '../harness/hostile-crowd.ts';
import { House } from '../harness/house.ts';

/** Connections of an attack at once; an attack on TLS costs the attacker as much as us, so these are fewer. */
const crowds: Readonly<Record<Attack, number>> = {
  'silent sockets': 2000,
  'a ClientHello byte by byte': 1000,
  'half-open handshakes': 2000,
  'a CONNECT byte by byte': 150,
  'a PUBLISH half sent': 150,
  'HTTP headers byte by byte': 150,
  'frozen readers': 60,
  'certificates that are refused': 25,
  'noise instead of TLS': 200,
};
const attackMs = 4000;
/** Generous: the cores are shared with the attacker and with other tests. */
const patienceMs = 15_000;
/** A TLS connection takes some 70 kB in a handshake. */
const maxGrowthKb = 300_000;

const config = `
mqtt: { connectTimeout: 3s, drainTimeout: 1s, maxQueuedSize: 64KiB }
https: { headersTimeout: 2s }
`;

let house: House;
let devices: DeviceIdentity[];
let hostile: DeviceIdentity;
let stranger: DeviceIdentity;
beforeAll(async () => {
  house = await House.start({ config });
  devices = await Promise.all(['a', 'b', 'c'].map((id) => house.api.enroll('plant', `honest-${id}`)));
  hostile = await house.api.enroll('plant', 'hostile');
  await house.api.call('PUT', '/v1/roles/crowd', {
    severalSessions: true,
    rules: [
      { allow: 'publish', pattern: 'devices/${device.id}/telemetry/#' },
      { allow: 'subscribe', pattern: 'devices/+/telemetry/#' },
    ],
  });
  expect((await house.api.call('PATCH', '/v1/devices/hostile', { role: 'crowd' })).status).toBe(200);
  stranger = ForeignCa.root(house.dir, 'acme').leaf('stranger', hostile.ca);
});
afterAll(() => house[Symbol.asyncDispose]());

test.each(attackNames)('%s: every honest device is served, and memory is bounded', async (attack) => {
  const port = house.port('mqtts');
  const beforeKb = residentKb(house.child.pid!);
  const linesBefore = house.log.length;
  const order = {
    attack,
    mqtts: port,
    https: house.port('https'),
    ca: hostile.ca,
    count: crowds[attack],
    device: hostile,
    stranger,
  };
  await using _crowd = await HostileCrowd.start(order);
  const { connectMs, publishMs, failures } = await honestService(devices, port, attackMs);
  expect(failures).toEqual([]);
  expect(connectMs.length).toBeGreaterThanOrEqual(devices.length);
  expect(p99(connectMs)).toBeLessThan(patienceMs);
  expect(p99(publishMs)).toBeLessThan(patienceMs);
  expect(residentKb(house.child.pid!) - beforeKb).toBeLessThan(maxGrowthKb);
  // Attack 26: a log that grows with refusals fills the disk for whoever is refused often enough.
  expect(house.log.length - linesBefore).toBeLessThan(5);
});

test('a client that asks to negotiate anew, again and again, is sent away (TLS 1.2)', async () => {
  const [device] = devices;
  const socket = tls.connect({
    host: '127.0.0.1',
    port: house.port('mqtts'),
    ca: device!.ca,
    key: device!.key,
    cert: device!.certificate,
    maxVersion: 'TLSv1.2',
  });
  socket.on('error', () => {});
  socket.resume();
  await once(socket, 'secureConnect');
  let done = 0;
  const again = () => {
    socket.renegotiate({}, (error) => {
      if (error || socket.destroyed) return;
      done += 1;
      again();
    });
  };
  again();
  await eventually(() => expect(socket.destroyed).toBe(true));
  expect(done).toBeLessThanOrEqual(3);
});

test('a chain of a hundred certificates is shown, and costs a connection that is refused', async () => {
  const ca = ForeignCa.root(house.dir, 'long');
  const leaf = ca.leaf('long-1', hostile.ca);
  const one = leaf.certificate.split(/(?=-----BEGIN)/)[0]!;
  // The same over and over is as long, and as wrong, as a hundred of different keys.
  const certificate = one + ca.certificate.repeat(100);
  const socket = tls.connect({
    host: '127.0.0.1',
    port: house.port('mqtts'),
    ca: hostile.ca,
    key: leaf.key,
    cert: certificate,
  });
  socket.on('error', () => {});
  socket.resume();
  await once(socket, 'secureConnect');
  const { connectBytes } = await import('../harness/raw-mqtt.ts');
  const before = performance.now();
  socket.write(connectBytes('long-1', 5));
  await once(socket, 'close');
  expect(performance.now() - before).toBeLessThan(3000);
  const { body } = await house.api.call('GET', '/v1/devices/long-1/decisions');
  expect(body.items[0]).toMatchObject({ reason: 'untrusted-certificate', leaf: { subject: 'CN="long-1"' } });
});
