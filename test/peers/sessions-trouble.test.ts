/** A disk that fails under the sessions: what was acknowledged for a device that is away is there when it comes back. */
import { expect, test } from 'vitest';
import { eventually } from '../harness/eventually.ts';
import { FailingDisk } from '../harness/failing-disk.ts';
import { connectDevice } from '../harness/mqtt-device.ts';
import { withPrograms } from '../harness/peer-program.ts';

withPrograms(['fiu-run', 'fiu-ctrl'], 'fsync that fails under the sessions', () => {
  test('a message whose sync failed is not acknowledged; what was acknowledged is delivered', {
    timeout: 120_000,
  }, async () => {
    await using disk = await FailingDisk.start();
    const { house } = disk;
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
    let over = false;
    /** One after the other, over another connection when one was refused. */
    const publish = async () => {
      for (let n = 0; !over; ) {
        const session = await connectDevice(writer, house.port('mqtts')).catch(() => null);
        const closed = session?.closed.then(() => false);
        while (session && !over) {
          const mark = `${n++}`;
          const taken = session.client.publishAsync('news/x', mark, { qos: 1 }).then(
            () => true,
            () => false,
          );
          if (!(await Promise.race([taken, closed]))) break;
          acknowledged.add(mark);
        }
        if (!over) refused += 1;
        session?.client.end(true);
      }
    };
    const publishing = publish();
    const patience = { timeoutMs: 30_000 };
    const more = (count: number) => {
      const until = acknowledged.size + count;
      return eventually(() => expect(acknowledged.size).toBeGreaterThan(until), patience);
    };
    await more(20);
    disk.fail('fdatasync');
    await eventually(() => expect(refused).toBeGreaterThan(3), patience);
    disk.mend('fdatasync');
    await more(20);
    over = true;
    await publishing;

    const heard = new Set<string>();
    await eventually(
      async () => {
        const back = await connectDevice(reader, house.port('mqtts'), kept);
        back.client.on('message', (_topic, payload) => heard.add(String(payload)));
        const missing = () => [...acknowledged].filter((mark) => !heard.has(mark));
        await eventually(() => expect(missing()).toEqual([]));
        await back.client.endAsync();
      },
      { timeoutMs: 30_000 },
    );
  });
});
