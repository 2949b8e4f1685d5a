/** A disk that fails its fsync and a clock that jumps: nothing that was acknowledged is lost, and the house stands. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { eventually } from '../harness/eventually.ts';
import { FailingDisk } from '../harness/failing-disk.ts';
import { House } from '../harness/house.ts';
import { connectDevice, onAcknowledged } from '../harness/mqtt-device.ts';
import { withPrograms } from '../harness/peer-program.ts';

/** Publishes until told to stop, connecting again after every end; returns the marks that were acknowledged. */
async function publishFor(house: House, id: string, durationMs: number): Promise<Set<number>> {
  const identity = await house.api.enroll('plant', id);
  const acknowledged = new Set<number>();
  const until = performance.now() + durationMs;
  let mark = 0;
  while (performance.now() < until) {
    const connected = await connectDevice(identity, house.port('mqtts')).catch(() => null);
    if (!connected) {
      await systemClock.sleep(20);
      continue;
    }
    const { client } = connected;
    onAcknowledged(client, (payload) => acknowledged.add(JSON.parse(payload).mark));
    while (client.connected && performance.now() < until) {
      const mine = mark++;
      client.publish(`devices/${id}/telemetry`, JSON.stringify({ mark: mine }), { qos: 1 });
      await systemClock.sleep(2);
    }
    client.end(true);
  }
  return acknowledged;
}

const lostOf = async (house: House, acknowledged: Set<number>) => {
  const found = new Set((await house.delivered()).map((event) => (event.data as { mark: number }).mark));
  return [...acknowledged].filter((mark) => !found.has(mark));
};

withPrograms(['fiu-run', 'fiu-ctrl'], 'fsync that fails', () => {
  test('an event whose commit failed is not acknowledged; what was acknowledged arrives', {
    timeout: 90_000,
  }, async () => {
    await using disk = await FailingDisk.start();
    const { house } = disk;
    const acknowledged = publishFor(house, 'pump', 4_000);
    await systemClock.sleep(1_000);
    disk.fail('fdatasync', 'fsync');
    await systemClock.sleep(2_000);
    disk.mend('fdatasync', 'fsync');
    const marks = await acknowledged;
    expect(marks.size).toBeGreaterThan(100);
    await eventually(async () => expect(await lostOf(house, marks)).toEqual([]), { timeoutMs: 20_000 });
  });
});

withPrograms(['faketime'], 'a clock that jumps', () => {
  for (const [name, jump] of [
    ['an hour back', '-1h'],
    ['a year forward', '+400d'],
  ] as const) {
    test(`${name}: nothing acknowledged is lost, and the doors stay open`, { timeout: 90_000 }, async () => {
      const folder = await mkdtemp(join(tmpdir(), 'time-'));
      const file = join(folder, 'offset');
      await writeFile(file, '+0\n');
      const env = {
        LD_PRELOAD: '/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1',
        FAKETIME_TIMESTAMP_FILE: file,
        FAKETIME_NO_CACHE: '1',
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      };
      await using house = await House.start({ env });
      const acknowledged = publishFor(house, 'pump', 3_000);
      await systemClock.sleep(1_500);
      await writeFile(file, `${jump}\n`);
      const marks = await acknowledged;
      expect(marks.size).toBeGreaterThan(100);
      await eventually(async () => expect(await lostOf(house, marks)).toEqual([]), { timeoutMs: 20_000 });
      expect(house.child.exitCode).toBeNull();
      await rm(folder, { recursive: true, force: true });
    });
  }
});
