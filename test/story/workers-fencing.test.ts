/** Two connects of one device at once, at whatever workers: exactly one session is left, a thousand times. */
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { eventually } from '../harness/eventually.ts';
import { House } from '../harness/house.ts';
import { metricsOf } from '../harness/metrics-page.ts';
import { connectBytes, RawMqtt } from '../harness/raw-mqtt.ts';

const workers = 3;
const rounds = 1_000;
const devices = 20;

let house: House;
let fleet: DeviceIdentity[];
beforeAll(async () => {
  house = await House.start({ workers });
  fleet = await Promise.all(
    Array.from({ length: devices }, (_, n) => house.api.enroll('plant', `twin-${n}`)),
  );
});
afterAll(() => house[Symbol.asyncDispose]());

/** Both handshakes are done, and both CONNECTs leave in one go. Resolves with what became of the two. */
async function round(
  device: DeviceIdentity,
  n: number,
): Promise<{ alive: number; reasons: (number | null)[] }> {
  // Some leave state behind: then the newer has to wait for the older to let go of it.
  const session = n % 4 === 3 ? { clean: false, properties: { sessionExpiryInterval: 60 } } : {};
  const port = house.port('mqtts');
  const both = await Promise.all([RawMqtt.open(device, port), RawMqtt.open(device, port)]);
  for (const raw of both) raw.send(connectBytes(device.id, 5, session));
  const loser = await eventually(
    () => {
      const closed = both.filter((raw) => raw.closed);
      if (closed.length === 0) throw new Error('both are still there');
      return closed[0]!;
    },
    { pauseMs: 2, timeoutMs: 20_000 },
  );
  const survivor = both.find((raw) => raw !== loser)!;
  // Whoever is left was greeted, answers, and goes on answering.
  let alive = 0;
  if (!survivor.closed) {
    expect((await survivor.next('connack')).reasonCode).toBe(0);
    survivor.sendPacket({ cmd: 'pingreq' });
    await survivor.next('pingresp');
    alive = survivor.closed ? 0 : 1;
  }
  const reasons = [await loser.ended()];
  if (!survivor.closed) {
    survivor.socket.destroy();
    await once(survivor.socket, 'close');
  }
  return { alive, reasons };
}

test(`${rounds} rounds`, { timeout: 240_000 }, async () => {
  const left = new Map<number, number>();
  const reasons = new Map<number | null, number>();
  const count = <K>(counts: Map<K, number>, key: K) => counts.set(key, (counts.get(key) ?? 0) + 1);
  await Promise.all(
    fleet.map(async (device) => {
      for (let n = 0; n < rounds / devices; n++) {
        const { alive, reasons: told } = await round(device, n);
        count(left, alive);
        for (const reason of told) count(reasons, reason);
      }
    }),
  );
  expect(Object.fromEntries(left)).toEqual({ 1: rounds });
  // Who lost was told so: by DISCONNECT after its CONNACK; before, a CONNACK has no word for it but 0x80 and a reason string.
  expect([...reasons.keys()].filter((reason) => reason !== 0x8e && reason !== 0x80)).toEqual([]);
  await eventually(async () => {
    const metrics = await metricsOf(house);
    expect(metrics.get('fleetgate_connections{protocol="mqtt5"}')).toBe(0);
    expect(metrics.get('fleetgate_worker_restarts_total')).toBe(0);
  });
});
