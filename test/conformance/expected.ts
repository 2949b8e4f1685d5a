/**
 * Where a server does not do what a statement says, and why: the tests hold it to that as well, so that a line goes as
 * soon as it is not true any more.
 */
import type { Peer } from './scene.ts';
import type { Version } from './statement.ts';

export interface Expected {
  readonly clause: string;
  readonly version: Version;
  readonly peer: Peer['name'];
  readonly why: string;
  /** The room in which it is being mended. */
  readonly owner?: string;
}

const of = (
  peer: Peer['name'],
  version: Version,
  clauses: readonly string[],
  why: string,
  owner?: string,
): Expected[] => clauses.map((clause) => ({ clause: `MQTT-${clause}`, version, peer, why, owner }));

export const expected: readonly Expected[] = [
  ...of('Fleetgate', 4, ['3.1.4-3', '3.2.2-2'], 'a session without subscriptions is not remembered', 'store'),
  ...of(
    'Fleetgate',
    5,
    ['3.1.4-4', '3.2.2-1', '3.2.2-3', '3.1.3-9'],
    'a session without subscriptions is not remembered',
    'store',
  ),
  ...of('Fleetgate', 4, ['3.10.4-5'], 'a session that never subscribed gets no UNSUBACK', 'outbound'),
  ...of('Fleetgate', 5, ['3.10.4-5'], 'a session that never subscribed gets no UNSUBACK', 'outbound'),
  ...of('Fleetgate', 4, ['3.3.1-1'], 'DUP is not set', 'outbound'),
  ...of('Fleetgate', 5, ['3.3.1-1'], 'DUP is not set', 'outbound'),
  ...of('Fleetgate', 4, ['3.3.5-1'], 'the subscription that was made first decides', 'outbound'),
  ...of('Fleetgate', 5, ['3.3.4-2'], 'the subscription that was made first decides', 'outbound'),
  ...of('Fleetgate', 5, ['3.3.4-3', '3.3.4-4', '3.3.4-5'], 'one identifier of several is sent', 'outbound'),
  ...of('Fleetgate', 5, ['3.3.4-9', '4.9.0-1', '4.9.0-2'], 'Receive Maximum is not looked at', 'outbound'),
  ...of('Fleetgate', 5, ['3.8.3-3'], 'the publisher is not known to the broker', 'outbound'),
  ...of('Fleetgate', 5, ['3.1.2-24', '3.1.2-25'], 'user properties are not counted', 'outbound'),
  ...of(
    'Fleetgate',
    5,
    ['3.3.2-17', '3.3.2-18'],
    'a name that comes again is put with the first',
    'outbound',
  ),
  ...of('Fleetgate', 4, ['6.0.0-1', '6.0.0-2', '6.0.0-4'], 'WebSocket is not there yet', 'doors'),
  ...of('Fleetgate', 5, ['6.0.0-1', '6.0.0-2', '6.0.0-4'], 'WebSocket is not there yet', 'doors'),

  ...of('mosquitto', 4, ['2.2.2-1', '2.2.2-2'], 'flags of PINGREQ are not looked at'),
  ...of('mosquitto', 5, ['2.1.3-1'], 'flags of PINGREQ are not looked at'),
  ...of('mosquitto', 4, ['3.3.5-1'], 'the most exact filter decides'),
  ...of('mosquitto', 5, ['3.1.2-8'], 'a Will waits for its delay though the session has ended'),
  ...of('mosquitto', 5, ['3.1.4-3'], 'the older connection gets no DISCONNECT'),
  ...of('mosquitto', 5, ['3.14.1-1'], 'the connection ends without a DISCONNECT'),
  ...of('mosquitto', 5, ['3.3.2-14'], 'wildcards in a response topic are not looked for'),
  ...of('mosquitto', 5, ['3.3.4-6'], 'the subscription identifier is passed over'),
  ...of('mosquitto', 5, ['3.3.4-7'], 'more than was announced is taken'),
  ...of('mosquitto', 5, ['3.3.4-9', '4.9.0-1', '4.9.0-2'], 'a PUBACK lets two more out'),
  ...of('mosquitto', 5, ['3.8.3-4'], 'it is taken'),
  ...of('mosquitto', 4, ['6.0.0-1'], 'a text frame is passed over'),
  ...of('mosquitto', 5, ['6.0.0-1'], 'a text frame is passed over'),
  ...of('mosquitto', 5, ['4.8.2-1', '4.8.2-2'], 'a share without a name is taken'),
];
