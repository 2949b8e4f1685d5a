/** A disk that fails under the sessions: what was acknowledged for a device that is away is there when it comes back. */
import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { systemClock } from '#common/clock.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { withPrograms } from '../harness/peer-program.ts';

withPrograms(['fiu-run', 'fiu-ctrl'], 'fsync that fails under the sessions', () => {
  test('a message whose sync failed is not acknowledged; what was acknowledged is delivered', {
    timeout: 120_000,
  }, async () => {
    const control = await mkdtemp(join(tmpdir(), 'fiu-'));
    await using house = await House.start({ wrapper: ['fiu-run', '-x', '-f', join(control, 'ctrl')] });
    const tell = (what: string) =>
      execFileSync('fiu-ctrl', ['-f', join(control, 'ctrl'), '-c', what, String(house.child.pid)], {
        timeout: 5_000,
      });
    const rules = [
      { allow: 'publish', pattern: 'news/#' },
      { allow: 'subscribe', pattern: 'news/#' },
    ];
    await house.api.call('PUT', '/v1/roles/talker', { rules });
    const enroll = async (id: string) => {
      const device = await house.api.enroll('plant', id);
      await house.api.call('PATCH', `/v1/devices/${id}`, { role: 'talker' });
      return device;
    };
    const [reader, writer] = [await enroll('reader'), await enroll('writer')];
    const kept = { clean: false, protocolVersion: 4 as const };
    const away = await connectDevice(reader, house.port('mqtts'), kept);
    await away.client.subscribeAsync('news/x', { qos: 1 });
    await away.client.endAsync();

    const acknowledged = new Set<string>();
    let refused = 0;
    const publish = async (untilMs: number) => {
      for (let n = 0; systemClock.elapsed() < untilMs && acknowledged.size < 800; ) {
        const session = await connectDevice(writer, house.port('mqtts')).catch(() => null);
        while (session?.client.connected && systemClock.elapsed() < untilMs) {
          const mark = `${untilMs}/${n++}`;
          const ended = session.closed.then(() => 'closed');
          const word = await Promise.race([
            session.client.publishAsync('news/x', mark, { qos: 1 }).then(
              () => 'acknowledged',
              () => 'closed',
            ),
            ended,
          ]);
          if (word !== 'acknowledged') break;
          acknowledged.add(mark);
          await systemClock.sleep(5);
        }
        if (session && systemClock.elapsed() < untilMs) refused += 1;
        session?.client.end(true);
        await systemClock.sleep(50);
      }
    };
    const publishing = publish(systemClock.elapsed() + 5_000);
    await systemClock.sleep(1_000);
    tell('enable_random name=posix/io/sync/fdatasync,failinfo=5,probability=0.3');
    await systemClock.sleep(3_000);
    tell('disable name=posix/io/sync/fdatasync');
    await publishing;
    expect(acknowledged.size).toBeGreaterThan(20);
    expect(refused).toBeGreaterThan(0);

    const heard = new Set<string>();
    await eventually(
      async () => {
        const back = await connectDevice(reader, house.port('mqtts'), kept);
        back.client.on('message', (_topic, payload) => heard.add(String(payload)));
        await systemClock.sleep(500);
        await back.client.endAsync();
        expect([...acknowledged].filter((mark) => !heard.has(mark))).toEqual([]);
      },
      { timeoutMs: 30_000 },
    );
    await rm(control, { recursive: true, force: true });
  });
});
