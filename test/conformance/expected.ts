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
  /** `failed` unless the statement asks nothing of this server. */
  readonly result: 'failed' | 'not applicable';
  readonly why: string;
}

const of = (
  peer: Peer['name'],
  version: Version,
  clauses: readonly string[],
  why: string,
  result: Expected['result'] = 'failed',
): Expected[] => clauses.map((clause) => ({ clause: `MQTT-${clause}`, version, peer, result, why }));

const notAsked = 'not applicable';

export const expected: readonly Expected[] = [
  ...of('Fleetgate', 5, ['3.3.2-12'], 'it announces no topic aliases', notAsked),

  ...of('mosquitto', 4, ['3.1.3-9'], 'it takes any client identifier of anybody', notAsked),
  ...of('mosquitto', 5, ['3.1.3-8', '3.1.4-2'], 'it takes any client identifier of anybody', notAsked),
  ...of('mosquitto', 5, ['3.2.2-15'], 'it announces no maximum', notAsked),
  ...of('mosquitto', 5, ['3.14.4-1', '3.14.4-2'], 'it sends no DISCONNECT', notAsked),
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
