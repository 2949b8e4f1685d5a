/** A CONNECT whose id is assigned is, to the byte, the one in which the client would have named itself. */
import { expect, test } from 'vitest';
import { readConnect, withClientId } from '../../../../gateway/mqtt/connect-packet.ts';
import type { MqttSettings } from '../../../../gateway/settings.ts';
import { connectBytes } from '../../../harness/raw-mqtt.ts';

const settings = { maxUserProperties: 8, maxTopicLength: 512, maxTopicLevels: 16 } as MqttSettings;

/** Header lengths of one and of two bytes. */
const wills = [undefined, { topic: 'a/b', payload: Buffer.alloc(110, 'x'), qos: 1 as const, retain: false }];

const read = (bytes: Buffer) => readConnect(bytes, 0, bytes[1]! < 0x80 ? 2 : 3, bytes.length, settings);

test.each([4, 5] as const)('MQTT %i', (version) => {
  for (const will of wills) {
    const options = { keepalive: 0, will, username: 'someone', clean: true };
    const assigned = withClientId(read(connectBytes('', version, options)), 'pump-1/0123456789abcdef');
    const named = read(connectBytes('pump-1/0123456789abcdef', version, options));
    expect(assigned.frame).toEqual(named.frame);
    expect({ ...assigned, idAssigned: false }).toEqual(named);
  }
});
