/** The doors' own certificate is renewed before it expires, and nobody is dropped for it. */
import type { X509Certificate } from 'node:crypto';
import tls from 'node:tls';
import { expect, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { RawMqtt } from '../harness/raw-mqtt.ts';

test('new connections see the new certificate, old ones go on', async () => {
  await using house = await House.start({ config: 'ca: { doorLifetime: 6s }\n' });
  const device = await house.api.enroll('plant', 'd');
  using old = await RawMqtt.connected(device, house.port('mqtts'));
  const shown = (door: 'mqtts' | 'https' | 'registry') =>
    new Promise<X509Certificate>((resolve, reject) => {
      const socket = tls.connect({ host: '127.0.0.1', port: house.port(door), ca: device.ca }, () => {
        resolve(socket.getPeerX509Certificate()!);
        socket.destroy();
      });
      socket.on('error', reject);
    });
  const doors = ['mqtts', 'https', 'registry'] as const;
  const first = await Promise.all(doors.map(shown));
  expect(new Set(first.map(({ serialNumber }) => serialNumber)).size).toBe(1);
  const second = await eventually(
    async () => {
      const now = await Promise.all(doors.map(shown));
      for (const [index, certificate] of now.entries())
        expect(certificate.serialNumber).not.toBe(first[index]!.serialNumber);
      return now;
    },
    { timeoutMs: 10_000 },
  );
  // Renewed while the old one was still good.
  expect(new Date(second[0]!.validFrom) <= new Date(first[0]!.validTo)).toBe(true);
  old.sendPacket({ cmd: 'pingreq' });
  await old.next('pingresp');
});
