/** What a device has sent at QoS 2 and not released is part of its session: taken once, whatever happens to connections. */
import { expect, test } from 'vitest';
import { InboundQos2, mostUnreleased, Unreleased } from '../../../../gateway/mqtt/inbound-qos2.ts';

const nothing = () => {};

test('a message is taken once, acknowledged again, and its id is free when it is released', () => {
  const messages = new InboundQos2();
  let again = 0;
  expect(messages.begin(1, nothing)).toBe(true);
  expect(messages.release(1)).toBe(false);
  messages.received(1);
  expect(messages.begin(1, () => again++)).toBe(false);
  expect(again).toBe(1);
  expect(messages.release(1)).toBe(true);
  expect(messages.begin(1, nothing)).toBe(true);
});

test('one that is on its way is acknowledged once, over the connection on which it was sent last', () => {
  const messages = new InboundQos2();
  const [first, second]: string[][] = [[], []];
  messages.begin(1, () => first!.push('early'));
  // Sent again over the same connection: the answer to the first is on its way.
  expect(messages.begin(1, () => first!.push('again'))).toBe(false);
  messages.move();
  expect(messages.begin(1, () => second!.push('moved'))).toBe(false);
  messages.received(1);
  expect([first, second]).toEqual([[], ['moved']]);
});

test('it is kept for a session that is, goes to one that is present, and is bounded', () => {
  const kept = new Set(['pump', ...Array.from({ length: mostUnreleased }, (_, index) => `d${index}`)]);
  const away = new Unreleased((clientId) => kept.has(clientId));
  const messages = new InboundQos2();
  away.keep('pump', messages);
  expect(away.take('pump', true)).toBeUndefined();
  messages.begin(1, nothing);
  away.keep('stranger', messages);
  expect(away.take('stranger', true)).toBeUndefined();
  away.keep('pump', messages);
  expect(away.take('pump', true)).toBe(messages);
  away.keep('pump', messages);
  expect(away.take('pump', false)).toBeUndefined();
  for (const clientId of kept) away.keep(clientId, messages);
  expect(away.take('pump', true)).toBeUndefined();
  expect(away.take('d0', true)).toBe(messages);
});
