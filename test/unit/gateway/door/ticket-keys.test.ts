/** Keys of TLS tickets: of a door each, new ones after twice a ticket's life, the same at whoever was handed the secret. */
import { expect, test } from 'vitest';
import { HandedTicketKeys, OwnTicketKeys } from '../../../../gateway/door/ticket-keys.ts';
import { StillClock } from '../../../harness/still-clock.ts';

test('each door has 48 bytes of its own; the same secret gives the same', () => {
  const clock = new StillClock(0);
  using own = new OwnTicketKeys(clock, 1_000);
  const handed = new HandedTicketKeys(own.secret);
  expect(own.of('mqtts')).toHaveLength(48);
  expect(own.of('mqtts')).not.toEqual(own.of('https'));
  expect(handed.of('mqtts')).toEqual(own.of('mqtts'));
  using another = new OwnTicketKeys(clock, 1_000);
  expect(another.of('mqtts')).not.toEqual(own.of('mqtts'));
});

test('they are made anew after twice the life of a ticket, and whoever uses them is told', async () => {
  const clock = new StillClock(0);
  const own = new OwnTicketKeys(clock, 1_000);
  const handed = new HandedTicketKeys(own.secret);
  own.onRotated(() => handed.replace(own.secret));
  const used: Buffer[] = [];
  const stop = handed.onRotated(() => used.push(handed.of('mqtts')));
  const first = handed.of('mqtts');
  await clock.move(1_999);
  expect(used).toEqual([]);
  await clock.move(1);
  expect(used).toHaveLength(1);
  expect(used[0]).not.toEqual(first);
  expect(used[0]).toEqual(own.of('mqtts'));
  stop();
  own[Symbol.dispose]();
  await clock.move(10_000);
  expect(used).toHaveLength(1);
});
