/** How Fleetgate stood on the day these tests first ran, and what was mended since. Kept by hand. */
import type { Version } from './statement.ts';

export const atFirst: {
  readonly figures: Readonly<Record<Version, string>>;
  readonly mended: readonly { readonly clauses: readonly string[]; readonly what: string }[];
} = {
  figures: { 4: '118 of 127', 5: '185 of 221' },
  mended: [
    {
      clauses: ['MQTT-3.1.3-6', 'MQTT-3.1.3-7', 'MQTT-3.2.2-16'],
      what: 'an empty client identifier was refused; it becomes the device id, with a suffix where a device may have several sessions, and MQTT 5 is told',
    },
    {
      clauses: [
        'MQTT-3.2.2-19',
        'MQTT-3.4.2-2',
        'MQTT-3.5.2-2',
        'MQTT-3.14.2-3',
        'and the statement after each',
      ],
      what: 'reason strings were sent to clients that take no packet that long',
    },
    {
      clauses: ['MQTT-3.2.2-17', 'MQTT-3.2.2-18', 'MQTT-3.3.2-9'],
      what: 'a topic alias ended with 0x82, not 0x94',
    },
    {
      clauses: ['MQTT-4.12.0-1'],
      what: 'an authentication method ended with 0x82, not 0x87',
    },
  ],
};
