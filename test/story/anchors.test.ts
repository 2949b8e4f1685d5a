/** Device CAs of manufacturers: registered with a proof, on terms; their devices come in as the terms say, and no other. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ApiAnswer, DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { ForeignCa } from '../harness/foreign-ca.ts';
import { House } from '../harness/house.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { withPrograms } from '../harness/peer-program.ts';
import { connectBytes, RawMqtt } from '../harness/raw-mqtt.ts';

withPrograms(['openssl'], 'anchors', () => {
  let house: House;
  let dir: string;
  let acme: ForeignCa;
  let line: ForeignCa;
  const port = () => house.port('mqtts');
  const trust = { ca: '' };

  beforeAll(async () => {
    dir = mkdtempSync(join(tmpdir(), 'maker-'));
    house = await House.start({ config: 'foreign: { maxJitDevices: 6 }\n' });
    const { body } = await house.api.call('GET', '/v1/status');
    expect(body.healthy).toBe(true);
    trust.ca = (await house.api.enroll('plant', 'own')).ca;
    acme = ForeignCa.root(dir, 'acme');
    line = acme.intermediate('acme-line-1', ['basicConstraints=critical,CA:TRUE,pathlen:0']);
  });
  afterAll(async () => {
    await house[Symbol.asyncDispose]();
    rmSync(dir, { recursive: true });
  });

  /** Registers with a proof by certificate. */
  async function register(name: string, ca: ForeignCa, terms: object): Promise<ApiAnswer> {
    const challenge = await house.api.call('POST', '/v1/anchors/challenge', { name });
    const proof = ca.proofOf(challenge.body.nonce);
    const order = {
      name,
      certificate: ca.certificate,
      fleet: 'plant',
      mapping: [{ from: 'commonName' }],
      proof,
      ...terms,
    };
    return house.api.call('POST', '/v1/anchors', order);
  }

  async function refusal(
    device: DeviceIdentity,
    clientId = device.id,
  ): Promise<{ code: number | null; reason: string }> {
    using raw = await RawMqtt.open(device, port());
    raw.send(connectBytes(clientId, 5));
    const code = await raw.ended();
    const decisions = await house.api.call('GET', `/v1/decisions?fingerprint=${device.fingerprint}`);
    return { code, reason: decisions.body.items[0].reason };
  }

  test('whoever cannot show the key of the CA does not register it', async () => {
    const other = ForeignCa.root(dir, 'other');
    const { body } = await house.api.call('POST', '/v1/anchors/challenge', { name: 'stolen' });
    const order = {
      name: 'stolen',
      certificate: acme.certificate,
      fleet: 'plant',
      mapping: [{ from: 'commonName' }],
      enrollment: 'jit',
    };
    const stolen = await house.api.call('POST', '/v1/anchors', {
      ...order,
      proof: other.proofOf(body.nonce),
    });
    expect(stolen).toMatchObject({ status: 422, body: { code: 'anchor-possession' } });
    const none = await house.api.call('POST', '/v1/anchors', order);
    expect(none).toMatchObject({ status: 422, body: { code: 'anchor-possession' } });
  });

  test('a device of a known CA comes in just in time, over an intermediate that it sends itself', async () => {
    const made = await register('acme', acme, {
      enrollment: 'jit',
      template: { attributes: { maker: 'acme' } },
    });
    expect(made).toMatchObject({ status: 201, body: { name: 'acme', state: 'active', enrollment: 'jit' } });
    const { client } = await connectDevice(line.leaf('pump-a', trust.ca), port());
    await client.publishAsync('devices/pump-a/telemetry', '{"n":1}', { qos: 1 });
    const { body } = await house.api.call('GET', '/v1/devices/pump-a');
    expect(body).toMatchObject({ fleet: 'plant', state: 'active', attributes: { maker: 'acme' } });
    expect(body.certificates).toMatchObject([{ issuer: 'acme', state: 'issued' }]);
    expect(body.sessions).toMatchObject([{ clientId: 'pump-a' }]);
    await client.endAsync();
    const decisions = await house.api.call('GET', '/v1/devices/pump-a/decisions');
    expect(decisions.body.items[0]).toMatchObject({ admitted: true });
  });

  test('it is revoked like any other, and its session ends', async () => {
    const { closed } = await connectDevice(line.leaf('pump-b', trust.ca), port(), { protocolVersion: 5 });
    const receipt = await house.api.call('POST', '/v1/devices/pump-b/revoke');
    expect(receipt.body).toMatchObject({ complete: true, sessions: [{ protocol: 'mqtt5' }] });
    expect(await closed).toBe(0x98);
  });
});
