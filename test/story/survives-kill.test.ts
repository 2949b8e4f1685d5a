/** kill -9 of the whole house at random moments under QoS 1 load: what was acknowledged reaches the backend. */
import { randomInt } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { connectDevice, onAcknowledged } from '../harness/mqtt-device.ts';

const kills = 20;
const devices = 8;

test(`${kills} kills, nothing acknowledged is lost, ids are stable`, { timeout: 180_000 }, async () => {
  const dir = await mkdtemp(join(tmpdir(), 'house-'));
  const acknowledged = new Set<string>();
  let fleet: DeviceIdentity[] = [];
  for (let round = 0; round < kills; round++) {
    await using house = await House.start({ dir });
    if (fleet.length === 0) {
      fleet = await Promise.all(
        Array.from({ length: devices }, (_, n) => house.api.enroll('plant', `kill-${n}`)),
      );
    }
    const load = fleet.map(async (identity, n) => {
      const { client } = await connectDevice(identity, house.port('mqtts'), {
        protocolVersion: n % 2 ? 5 : 4,
      });
      onAcknowledged(client, (payload) => acknowledged.add(JSON.parse(payload).mark));
      for (let count = 0; client.connected; count++) {
        const mark = `${round}/${n}/${count}`;
        client.publish(`devices/${identity.id}/telemetry`, JSON.stringify({ mark }), { qos: 1 });
        if (count % 10 === 9) await systemClock.sleep(1);
      }
      client.end(true);
    });
    await systemClock.sleep(randomInt(100, 700));
    await house.kill('SIGKILL');
    await Promise.allSettled(load);
  }

  await using house = await House.start({ dir });
  const idsOf = await eventually(
    async () => {
      const found = new Map<string, Set<unknown>>();
      for (const event of await house.delivered()) {
        const { mark } = event.data as { mark: string };
        found.set(mark, (found.get(mark) ?? new Set()).add(event.id));
      }
      const lost = [...acknowledged].filter((mark) => !found.has(mark));
      expect(lost).toEqual([]);
      return found;
    },
    { timeoutMs: 20_000 },
  );
  expect(acknowledged.size).toBeGreaterThan(kills * devices);
  expect([...idsOf.values()].filter((ids) => ids.size !== 1)).toEqual([]);
  await house.kill('SIGTERM');
  await rm(dir, { recursive: true });
});
