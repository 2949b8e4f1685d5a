/** How Fleetgate stood on the day these tests first ran, and what was mended since. Kept by hand. */
import type { Version } from './statement.ts';

export const atFirst: {
  readonly figures: Readonly<Record<Version, string>>;
  readonly mended: readonly { readonly clauses: readonly string[]; readonly what: string }[];
} = {
  figures: { 4: '118 of 127', 5: '185 of 221' },
  mended: [
    {
      clauses: ['3.1.3-6 of both', '3.1.3-7', '3.2.2-16'],
      what: 'An empty client identifier was refused. It becomes the device id, with a suffix where a device may have several sessions, and MQTT 5 is told',
    },
    {
      clauses: ['3.2.2-19', '3.2.2-20', '3.4.2-2', '3.4.2-3', '3.5.2-2', '3.5.2-3', '3.14.2-3', '3.14.2-4'],
      what: 'Reason strings were sent to clients that take no packet that long',
    },
    { clauses: ['3.2.2-17', '3.2.2-18', '3.3.2-9'], what: 'A topic alias ended with 0x82, not 0x94' },
    { clauses: ['4.12.0-1'], what: 'An authentication method ended with 0x82, not 0x87' },
    {
      clauses: ['3.10.4-5 of both'],
      what: 'UNSUBSCRIBE of a session that had never subscribed was not answered',
    },
    {
      clauses: ['3.1.4-3 and 3.2.2-2 of 3.1.1', '3.1.4-4', '3.2.2-1', '3.2.2-3', '3.1.3-9'],
      what: 'A session without subscriptions was not remembered',
    },
    { clauses: ['3.3.1-1 of both'], what: 'DUP was not set on what was sent again' },
    {
      clauses: ['3.3.5-1 of 3.1.1', '3.3.4-2', '3.3.4-3', '3.3.4-4', '3.3.4-5'],
      what: 'Of overlapping subscriptions the first decided the QoS, and one identifier of several was sent',
    },
    { clauses: ['3.3.4-9', '4.9.0-1', '4.9.0-2'], what: 'Receive Maximum of a client was not looked at' },
    { clauses: ['3.8.3-3'], what: 'No Local had no effect' },
    {
      clauses: ['3.1.2-24', '3.1.2-25'],
      what: 'User properties were not counted where a message was too long for its client',
    },
    {
      clauses: ['3.3.2-17', '3.3.2-18'],
      what: 'A user property whose name came again was moved to the first of its name',
    },
    { clauses: ['4.8.2-3 to 4.8.2-6'], what: 'There were no shared subscriptions' },
    { clauses: ['6.0.0-1, 6.0.0-2 and 6.0.0-4 of both'], what: 'There was no WebSocket' },
  ],
};
