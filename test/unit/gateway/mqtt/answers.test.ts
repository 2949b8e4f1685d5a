/** A refusal is never longer than its hearer takes, and says why only to who wants to know. */
import { expect, test } from 'vitest';
import {
  connack5Refusal,
  disconnect5,
  type Hearer,
  refusedPublish5,
  refusedSuback5,
} from '../../../../gateway/mqtt/answers.ts';

const reason = 'This device may not publish to other like this.';
const refusals: [name: string, make: (hearer: Hearer) => Buffer][] = [
  ['CONNACK', (hearer) => connack5Refusal(0x87, reason, hearer)],
  ['DISCONNECT', (hearer) => disconnect5(0x87, reason, hearer)],
  ['PUBACK', (hearer) => refusedPublish5(0x40, 1, 0x87, reason, hearer)],
  ['PUBREC', (hearer) => refusedPublish5(0x50, 1, 0x87, reason, hearer)],
  ['SUBACK', (hearer) => refusedSuback5(1, [0, 0x87], reason, hearer)],
];

test.each(refusals)('%s', (_name, make) => {
  const whole = make({ wantsReasons: true, maximumPacketSize: 0xffff_ffff });
  expect(whole.includes(reason)).toBe(true);
  expect(make({ wantsReasons: true, maximumPacketSize: whole.length })).toEqual(whole);
  const short = make({ wantsReasons: true, maximumPacketSize: whole.length - 1 });
  expect(short.length).toBeLessThan(10);
  expect(make({ wantsReasons: false, maximumPacketSize: 0xffff_ffff })).toEqual(short);
  for (const bytes of [whole, short]) expect(bytes[1]).toBe(bytes.length - 2);
});
