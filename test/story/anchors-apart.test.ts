/** Foreign certificates with registry and gateway apart: introduced over the line; while the registry is away, the known go on. */
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiClient, apiClient, type DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { ForeignCa } from '../harness/foreign-ca.ts';
import { type Doors, end, startCommand } from '../harness/house.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { withPrograms } from '../harness/peer-program.ts';
import { connectBytes, RawMqtt } from '../harness/raw-mqtt.ts';

type RegistryDoors = Pick<Doors, 'registry' | 'pki' | 'ca' | 'adminTokenFile'>;
type GatewayDoors = Pick<Doors, 'mqtts' | 'https' | 'ops'>;

withPrograms(['openssl'], 'anchors, registry and gateway apart', () => {
  let dir: string;
  let registry: { child: ChildProcess; doors: RegistryDoors };
  let gateway: { child: ChildProcess; doors: GatewayDoors; log: string[] };
  let api: ApiClient;
  let ca: string;
  let maker: ForeignCa;
  let known: DeviceIdentity;

  const startRegistry = (port: string) =>
    startCommand<RegistryDoors>([
      'registry',
      '--data',
      join(dir, 'r'),
      '--registry-port',
      port,
      '--pki-port',
      '0',
      '--ops-port',
      '0',
    ]);
  const mqttPort = () => Number(new URL(gateway.doors.mqtts).port);

  async function code(device: DeviceIdentity): Promise<number> {
    using raw = await RawMqtt.open(device, mqttPort());
    raw.send(connectBytes(device.id, 5));
    return (await raw.next('connack')).reasonCode;
  }

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'anchors-apart-'));
    registry = await startRegistry('0');
    const { registry: url, ca: caFile, adminTokenFile } = registry.doors;
    const free = ['mqtts', 'https', 'ops'].flatMap((door) => [`--${door}-port`, '0']);
    const line = ['--registry', url, '--ca', caFile, '--token-file', adminTokenFile, '--name', 'north'];
    gateway = await startCommand<GatewayDoors>(['gateway', '--data', join(dir, 'g'), ...line, ...free]);
    api = apiClient(url, readFileSync(caFile, 'utf8'), readFileSync(adminTokenFile, 'utf8').trim());
    ({ ca } = await api.enroll('plant', 'own'));
    maker = ForeignCa.root(dir, 'maker');
    known = maker.leaf('known', ca);
  });
  afterAll(async () => {
    await api.close();
    await end(gateway.child, 'SIGTERM');
    await end(registry.child, 'SIGTERM');
    rmSync(dir, { recursive: true });
  });

  test('an anchor travels by the feed, a certificate is introduced over the line, and admitted at once', async () => {
    const order = {
      name: 'maker',
      certificate: maker.certificate,
      fleet: 'plant',
      mapping: [{ from: 'commonName' }],
      enrollment: 'jit',
      possession: 'waived',
    };
    expect(await api.call('POST', '/v1/anchors', order)).toMatchObject({ status: 201 });
    const { client } = await eventually(() => connectDevice(known, mqttPort()));
    const shown = await api.call('GET', '/v1/devices/known');
    expect(shown.body).toMatchObject({
      certificates: [{ issuer: 'maker' }],
      sessions: [{ gateway: 'north' }],
    });
    const audit = await api.call('GET', '/v1/audit?limit=1000');
    expect(audit.body.items).toContainEqual(
      expect.objectContaining({ action: 'certificate.introduce', actor: 'gateway:north', target: 'known' }),
    );
    await client.endAsync();
  });

  test('while the registry is away the known come in, the unknown are told to try again', async () => {
    const fresh = maker.leaf('fresh', ca);
    const { port } = new URL(registry.doors.registry);
    await end(registry.child, 'SIGKILL');
    const { client } = await connectDevice(known, mqttPort());
    await client.publishAsync('devices/known/telemetry', '{"alone":true}', { qos: 1 });
    expect(await code(fresh)).toBe(0x88);
    registry = await startRegistry(port);
    await eventually(async () => expect(await code(fresh)).toBe(0));
    await client.endAsync();
  });

  test('a removal crosses the line, and its receipt names the gateway', async () => {
    const { closed } = await connectDevice(known, mqttPort());
    // The gateway follows the feed again once its pause is over.
    await eventually(async () => {
      const { body } = await api.call('GET', '/v1/devices/known');
      expect(body.sessions).toMatchObject([{ gateway: 'north' }]);
    });
    const removal = await api.call('DELETE', '/v1/anchors/maker');
    expect(removal.body.receipt).toMatchObject({ complete: true, sessions: [{ gateway: 'north' }] });
    await closed;
    expect(await code(known)).toBe(0x87);
  });
});
