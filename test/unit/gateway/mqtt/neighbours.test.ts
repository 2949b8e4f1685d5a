/** Brokers beside each other: who is told what, and what is carried to whom. */
import { expect, test } from 'vitest';
import { Listeners } from '../../../../gateway/mqtt/listeners.ts';
import {
  type CarriedPacket,
  type Emitter,
  type Interests,
  kindOf,
  mostKinds,
  type NeighbourEars,
  type NeighbourLine,
  Neighbours,
} from '../../../../gateway/mqtt/neighbours.ts';

function broker() {
  const emitted: CarriedPacket[] = [];
  const mq: Emitter = {
    on: (_topic, _listener, done) => done?.(),
    removeListener: (_topic, _listener, done) => done?.(),
    emit: (packet) => emitted.push(packet),
  };
  const told: Interests[] = [];
  const carried: { to: readonly number[]; packet: CarriedPacket }[] = [];
  let ears!: NeighbourEars;
  let known: () => void = () => {};
  const state = { room: true, missed: 0 };
  const line: NeighbourLine = {
    join: (others) => {
      ears = others;
    },
    listening: (interests) => {
      told.push(interests);
      return new Promise((resolve) => (known = resolve));
    },
    carry: (to, packet) => {
      if (state.room) carried.push({ to, packet });
      return state.room;
    },
  };
  const listeners = new Listeners();
  new Neighbours(mq, listeners, line, () => (state.missed += 1));
  return { mq, listeners, told, carried, emitted, ears, state, known: () => known() };
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const listener = {};
const message = (topic: string): CarriedPacket => ({
  cmd: 'publish',
  topic,
  payload: Buffer.from('x'),
  qos: 1,
  retain: false,
  dup: false,
  brokerId: 'a',
  brokerCounter: 7,
});

test('a thousand devices that listen to their own topics are one kind', async () => {
  const { mq, told, known } = broker();
  for (let n = 0; n < 1_000; n++) mq.on(`devices/pump-${n}/commands/#`, listener);
  await turn();
  expect(told).toEqual([{ lane: [], other: ['devices/+/commands/#'] }]);
  known();
  // One less is no news; the last is.
  mq.removeListener('devices/pump-0/commands/#', listener);
  await turn();
  expect(told).toHaveLength(1);
  for (let n = 1; n < 1_000; n++) mq.removeListener(`devices/pump-${n}/commands/#`, listener);
  await turn();
  expect(told.at(-1)).toEqual({ lane: [], other: [] });
});

test('a subscription is in force when the neighbours know, not before', async () => {
  const { mq, known } = broker();
  let done = 0;
  mq.on('plant/alarms', listener, () => (done += 1));
  await turn();
  expect(done).toBe(0);
  // A second of the same kind waits for the same news.
  mq.on('plant/alarms', listener, () => (done += 1));
  await turn();
  expect(done).toBe(0);
  known();
  await turn();
  expect(done).toBe(2);
  mq.on('plant/alarms', listener, () => (done += 1));
  expect(done).toBe(3);
});

test('listeners of the lane are told one by one, those of sessions that are away too', async () => {
  const { mq, listeners, told } = broker();
  listeners.add('dashboard', 'devices/+/telemetry/#');
  listeners.add('twin', 'devices/pump-7/events');
  mq.on('devices/+/telemetry/#', listener);
  await turn();
  expect(told.at(-1)).toEqual({ lane: ['devices/+/telemetry/#', 'devices/pump-7/events'], other: [] });
});

test('more kinds than are told one by one are told as all', async () => {
  const { mq, told, listeners } = broker();
  listeners.add('dashboard', 'devices/+/telemetry/#');
  for (let n = 0; n <= mostKinds; n++) mq.on(`plant/${n}`, listener);
  await turn();
  expect(told.at(-1)).toEqual({ lane: ['devices/+/telemetry/#'], other: ['#'] });
});

test('a message is carried to those who listen, as it was published, and to nobody else', () => {
  const { mq, carried, emitted, ears } = broker();
  ears.listens(1, { lane: ['devices/+/telemetry/#'], other: ['plant/+'] });
  ears.listens(3, { lane: [], other: ['#'] });
  mq.emit(message('plant/alarms'));
  mq.emit(message('devices/pump/telemetry/fast'));
  mq.emit(message('devices/pump/state'));
  expect(carried.map(({ to, packet }) => [packet.topic, to])).toEqual([
    ['plant/alarms', [1, 3]],
    // Who listens to the lane has said so one by one: `#` of others is no listener of it.
    ['devices/pump/telemetry/fast', [1]],
    ['devices/pump/state', [3]],
  ]);
  expect(carried[0]!.packet).toEqual(message('plant/alarms'));
  expect(emitted).toHaveLength(3);
});

test('what is heard from a neighbour is not carried on; a neighbour that is gone is told nothing', () => {
  const { mq, carried, emitted, ears, listeners } = broker();
  ears.listens(1, { lane: ['devices/+/events'], other: ['#'] });
  ears.hear(message('plant/alarms'));
  expect(carried).toEqual([]);
  expect(emitted).toHaveLength(1);
  // Its listeners are the lane's as well, until it is gone.
  expect(listeners.wants('devices/pump/events')).toBe(true);
  ears.gone(1);
  expect(listeners.wants('devices/pump/events')).toBe(false);
  mq.emit(message('plant/alarms'));
  expect(carried).toEqual([]);
});

test('what the broker says to itself stays; what finds no room is counted', () => {
  const { mq, carried, ears, state } = broker();
  ears.listens(1, { lane: [], other: ['#', '$SYS/#'] });
  mq.emit(message('$SYS/a/new/clients'));
  expect(carried).toEqual([]);
  state.room = false;
  mq.emit(message('plant/alarms'));
  expect(state.missed).toBe(1);
});

test.each([
  ['devices/pump-1/commands/#', 'devices/+/commands/#'],
  ['$share/g/devices/pump-1/state', 'devices/+/state'],
  ['plant/+/state', 'plant/+/state'],
  ['devices', 'devices'],
  ['#', '#'],
])('%s is of the kind %s', (filter, kind) => {
  expect(kindOf(filter)).toBe(kind);
});
