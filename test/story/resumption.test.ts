/** A TLS ticket is no way around a revocation (Go CVE-2025-68121): the directory is asked on every connection. */
import { once } from 'node:events';
import tls from 'node:tls';
import { generate, type Packet, parser } from 'mqtt-packet';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { House } from '../harness/house.ts';

let house: House;
beforeAll(async () => {
  house = await House.start();
});
afterAll(() => house[Symbol.asyncDispose]());

/** One MQTT CONNECT over TLS; the ticket of the connection is kept for the next. */
async function connect(device: DeviceIdentity, version: tls.SecureVersion, session?: Buffer) {
  const socket = tls.connect({
    host: '127.0.0.1',
    port: house.port('mqtts'),
    ca: device.ca,
    cert: device.certificate,
    key: device.key,
    minVersion: version,
    maxVersion: version,
    session: session as Buffer | undefined,
  });
  let ticket = session;
  socket.on('session', (fresh) => {
    ticket = fresh;
  });
  socket.on('error', () => {});
  await once(socket, 'secureConnect');
  const incoming = parser();
  const answer = new Promise<Packet | null>((resolve) => {
    incoming.on('packet', resolve);
    socket.once('close', () => resolve(null));
  });
  socket.on('data', (chunk: Buffer) => incoming.parse(chunk));
  socket.write(
    generate({ cmd: 'connect', clientId: device.id, protocolVersion: 4, protocolId: 'MQTT', clean: true }),
  );
  const packet = await answer;
  return { socket, packet, reused: socket.isSessionReused(), ticket };
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
  test(`${version}: a resumed session of a revoked device is refused`, async () => {
    const device = await house.api.enroll('plant', `resumes-${version}`);
    const first = await connect(device, version);
    expect(first.packet).toMatchObject({ cmd: 'connack', returnCode: 0 });
    first.socket.destroy();

    const resumed = await connect(device, version, first.ticket);
    expect(resumed).toMatchObject({ reused: true, packet: { returnCode: 0 } });
    resumed.socket.destroy();

    await house.api.call('POST', `/v1/devices/${device.id}/revoke`);
    const revoked = await connect(device, version, first.ticket);
    expect(revoked).toMatchObject({ reused: true, packet: { cmd: 'connack', returnCode: 5 } });
    revoked.socket.destroy();
  });
}

test('and it is refused after a restart of the gateway', async () => {
  const identities = [await house.api.enroll('plant', 'later-2'), await house.api.enroll('plant', 'later-3')];
  const versions = ['TLSv1.2', 'TLSv1.3'] as const;
  const dir = house.dir;
  const tickets: (Buffer | undefined)[] = [];
  for (const [n, device] of identities.entries()) {
    const { socket, ticket, packet } = await connect(device, versions[n]!);
    expect(packet).toMatchObject({ returnCode: 0 });
    tickets.push(ticket);
    socket.destroy();
    await house.api.call('POST', `/v1/devices/${device.id}/revoke`);
  }
  await house.kill('SIGTERM');
  house = await House.start({ dir });
  for (const [n, device] of identities.entries()) {
    const { socket, packet } = await connect(device, versions[n]!, tickets[n]);
    expect(packet).toMatchObject({ cmd: 'connack', returnCode: 5 });
    socket.destroy();
  }
});
