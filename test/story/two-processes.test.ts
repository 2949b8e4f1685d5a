/** Registry and gateway apart: the gateway joins by a token, follows the feed, and goes on while the registry is away. */
import type { ChildProcess } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiClient, apiClient, type DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { type Doors, end, startCommand } from '../harness/house.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { readAnswer, stapledBy } from '../harness/ocsp-client.ts';

type RegistryDoors = Pick<Doors, 'registry' | 'pki' | 'ca' | 'adminTokenFile'>;
type GatewayDoors = Pick<Doors, 'mqtts' | 'https' | 'ops'>;

let dir: string;
let registry: { child: ChildProcess; doors: RegistryDoors };
let gateway: { child: ChildProcess; doors: GatewayDoors; log: string[] };
let api: ApiClient;
let device: DeviceIdentity;

/** The first start takes a free port, later ones the same again. */
const startRegistry = (port: string) =>
  startCommand<RegistryDoors>([
    'registry',
    '--data',
    join(dir, 'r'),
    '--registry-port',
    port,
    '--pki-port',
    '0',
  ]);

const mqttPort = () => Number(new URL(gateway.doors.mqtts).port);

function ask<Row>(file: string, query: string, value: string): Row | undefined {
  const db = new Database(join(dir, file), { readonly: true });
  try {
    return db.prepare(query).get(value) as Row | undefined;
  } finally {
    db.close();
  }
}
const usedOf = (device: string): number | null | undefined =>
  ask<{ used: number | null }>(
    'r/registry.db',
    'SELECT used_ms AS used FROM certificates WHERE device = ?',
    device,
  )?.used;
const gatewayKnows = (fingerprint: string): boolean =>
  ask('g/directory.db', 'SELECT 1 FROM entries WHERE fingerprint = ?', fingerprint) !== undefined;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'apart-'));
  registry = await startRegistry('0');
  const { registry: url, ca, adminTokenFile } = registry.doors;
  const free = ['mqtts', 'https', 'ops'].flatMap((door) => [`--${door}-port`, '0']);
  const join_ = ['--registry', url, '--ca', ca, '--token-file', adminTokenFile, '--name', 'north'];
  gateway = await startCommand<GatewayDoors>(['gateway', '--data', join(dir, 'g'), ...join_, ...free]);
  api = apiClient(url, await readFile(ca, 'utf8'), (await readFile(adminTokenFile, 'utf8')).trim());
  device = await api.enroll('plant', 'pump');
});
afterAll(async () => {
  await api.close();
  await end(gateway.child, 'SIGTERM');
  await end(registry.child, 'SIGTERM');
  await rm(dir, { recursive: true });
});

test('a device that the registry enrolled is admitted by the gateway, and its sessions are seen', async () => {
  const { client } = await eventually(() => connectDevice(device, mqttPort()));
  const shown = await api.call('GET', '/v1/devices/pump');
  expect(shown.body.sessions).toMatchObject([{ gateway: 'north', protocol: 'mqtt', clientId: 'pump' }]);
  await client.endAsync();
});

test('a revocation crosses the line, and the receipt names the gateway', async () => {
  const doomed = await api.enroll('plant', 'doomed');
  const { closed } = await eventually(() => connectDevice(doomed, mqttPort()));
  const receipt = await api.call('POST', '/v1/devices/doomed/revoke');
  await closed;
  expect(receipt.body).toMatchObject({ complete: true, sessions: [{ gateway: 'north' }] });
  expect(receipt.body.sessions[0].closedAfterMs).toBeLessThan(1000);
});

test('the gateway staples an OCSP answer about its door, which the registry gave it', async () => {
  const answer = await eventually(async () => readAnswer(await stapledBy(mqttPort(), device.ca)));
  expect(answer).toMatchObject({ statuses: ['good'], verified: true });
});

test('what was seen while the registry was away is reported when it is back', async () => {
  const port = new URL(registry.doors.registry).port;
  const witness = await api.enroll('plant', 'witness');
  const seen = await eventually(() => connectDevice(witness, mqttPort()));
  await seen.client.endAsync();
  await eventually(() => expect(usedOf('witness')).not.toBeNull());
  const away = await api.enroll('plant', 'away');
  await eventually(() => expect(gatewayKnows(away.fingerprint)).toBe(true));
  await end(registry.child, 'SIGKILL');
  const { client } = await connectDevice(away, mqttPort());
  await client.endAsync();
  await eventually(() => expect(gateway.log.join()).toMatch(/Sightings wait for the registry/));
  expect(usedOf('away')).toBeNull();
  registry = await startRegistry(port);
  await eventually(() => expect(usedOf('away')).not.toBeNull());
});

test('the registry goes, devices still come; it returns, and the gateway catches up', async () => {
  const port = new URL(registry.doors.registry).port;
  await end(registry.child, 'SIGKILL');
  const { client, closed } = await connectDevice(device, mqttPort());
  await client.publishAsync('devices/pump/telemetry', '{"alone":true}', { qos: 1 });

  registry = await startRegistry(port);
  const receipt = await api.call('POST', '/v1/devices/pump/revoke');
  expect(receipt.status).toBe(200);
  await closed;
  await expect(connectDevice(device, mqttPort())).rejects.toMatchObject({ code: 5 });
});
