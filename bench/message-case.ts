/** What a message costs the server: of QoS 1 until it is durable and acknowledged, and of QoS 0. */
import { systemClock } from '#common/clock.ts';
import { compare, drained, use } from './compare.ts';
import type { Bench, Figure } from './figure.ts';
import { cpuUs } from './process-cost.ts';
import { startSubscriber } from './servers.ts';

interface Pace {
  readonly burst: number;
  readonly everyMs: number;
  readonly qos: 0 | 1;
}

async function publish(bench: Bench, pace: Pace): Promise<{ ours: number; peer: number }> {
  return compare(bench, async (server) => {
    await use(bench, server);
    await bench.generator.order({ do: 'connect', from: 0, to: 500, rate: 200 });
    await using opened = new AsyncDisposableStack();
    if (server === bench.mosquitto) {
      const subscriber = await startSubscriber(bench.dir, server, bench.identities[500]!, pace.qos);
      opened.defer(() => subscriber.stop());
    }
    await bench.generator.order({ do: 'publish', seconds: 2, ...pace });
    await drained(bench);
    const before = cpuUs(server.pid);
    const sent = await bench.generator.order<number>({ do: 'publish', seconds: 6, ...pace });
    if (server === bench.fleetgate) await drained(bench);
    else if (pace.qos === 0) await systemClock.sleep(500);
    return (cpuUs(server.pid) - before) / sent;
  });
}

export async function messages(bench: Bench): Promise<Figure[]> {
  const paced = await publish(bench, { burst: 1, everyMs: 50, qos: 1 });
  const flatOut = await publish(bench, { burst: 1, everyMs: 0, qos: 1 });
  const pipelined = await publish(bench, { burst: 20, everyMs: 1_000, qos: 1 });
  const atMostOnce = await publish(bench, { burst: 1, everyMs: 50, qos: 0 });
  const at = '500 devices at 10,000 a second';
  return [
    { what: `CPU per QoS 1 message, one in flight, ${at}`, unit: 'µs', ...paced, target: 0.75 },
    {
      what: 'CPU per QoS 1 message, one in flight, 500 devices flat out',
      unit: 'µs',
      ...flatOut,
      target: 0.75,
    },
    { what: `CPU per QoS 1 message, pipelined by 20, ${at}`, unit: 'µs', ...pipelined, target: 0.4 },
    { what: `CPU per QoS 0 message, ${at}`, unit: 'µs', ...atMostOnce, target: 0.8 },
  ];
}
