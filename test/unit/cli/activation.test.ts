/** Which of the sockets that were handed over is which door's. */
import { expect, test } from 'vitest';
import { handedSockets } from '../../../cli/activation.ts';

const given = (LISTEN_FDS: string, LISTEN_FDNAMES?: string, LISTEN_PID = '7') => ({
  LISTEN_PID,
  LISTEN_FDS,
  LISTEN_FDNAMES,
});

test.each([
  ['none', {}, {}],
  ['those of another process', given('2', 'mqtts:https', '8'), {}],
  ['by name, in any order', given('3', 'ops:https:mqtts'), { ops: 3, https: 4, mqtts: 5 }],
  ['unnamed: in the order of the doors', given('2'), { mqtts: 3, https: 4 }],
  [
    'by names that systemd gives of itself: in the order of the doors',
    given('3', 'fleetgate.socket:fleetgate.socket:fleetgate.socket'),
    { mqtts: 3, https: 4, registry: 5 },
  ],
  ['unknown to whoever started us', given('1', 'unknown'), { mqtts: 3 }],
  ['all', given('5', 'mqtts:https:registry:pki:ops'), { mqtts: 3, https: 4, registry: 5, pki: 6, ops: 7 }],
])('%s', (_what, variables, sockets) => {
  expect(handedSockets(variables, 7)).toEqual(sockets);
});

test.each([
  ['more than there are doors', given('6'), /there are 5 doors/],
  ['no number', given('many'), /LISTEN_FDS is many/],
  ['a name of no door among those of doors', given('2', 'mqtts:mqtt'), /named mqtt, which is no door/],
  ['a name twice', given('2', 'https:https'), /Two sockets are named https/],
])('%s is refused', (_what, variables, message) => {
  expect(() => handedSockets(variables, 7)).toThrow(message);
});
