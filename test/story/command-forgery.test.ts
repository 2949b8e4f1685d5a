/** Nobody but the registry sends commands, whatever a role grants; and who hears of replies. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { DeviceIdentity } from '../harness/api-client.ts';
import { commandApi } from '../harness/command-api.ts';
import { commanded } from '../harness/commanded.ts';
import { RawMqtt } from '../harness/raw-mqtt.ts';
import { TimedHouse } from '../harness/timed-house.ts';

let house: TimedHouse;
beforeAll(async () => {
  house = await TimedHouse.start();
});
afterAll(() => house[Symbol.asyncDispose]());

let names = 0;
const fresh = (): Promise<DeviceIdentity> => house.api.enroll('plant', `device-${++names}`);
const port = () => house.ports.mqtts;
const { sent } = commandApi(() => house.api);

describe('nobody but the registry sends commands', () => {
  test.each([
    'devices/victim/commands/1/open',
    'devices/victim/commands/1/reply/200',
    'devices/victim/commands',
  ])('a role that grants everything does not let a device publish to %s', async (topic) => {
    await house.api.call('PUT', '/v1/roles/mighty', {
      rules: [
        { allow: 'publish', pattern: '#', retain: true },
        { allow: 'subscribe', pattern: '#' },
      ],
    });
    const device = await fresh();
    await house.api.call('PATCH', `/v1/devices/${device.id}`, { role: 'mighty' });
    using raw = await RawMqtt.connected(device, port(), 5);
    for (const retain of [false, true]) {
      raw.sendPacket({ cmd: 'publish', topic, payload: 'x', qos: 1, messageId: 5, dup: false, retain });
      expect((await raw.next('puback')).reasonCode).toBe(0x87);
    }
    const will = { topic, payload: Buffer.from('x'), qos: 0 as const, retain: false };
    await expect(RawMqtt.connected(device, port(), 5, { will })).rejects.toThrow('135');
  });

  test('a backend hears replies; the device that has sent one does not', async () => {
    const [device, lake] = [await fresh(), await fresh()];
    await house.api.call('PATCH', `/v1/devices/${lake.id}`, { role: 'backend' });
    using backend = await RawMqtt.connected(lake, port(), 5);
    const subscriptions = [{ topic: 'devices/+/commands/+/reply/+', qos: 1 as const }];
    backend.sendPacket({ cmd: 'subscribe', messageId: 1, subscriptions });
    await backend.next('suback');
    using pump = await commanded(device, port(), 5, {
      clean: false,
      properties: { sessionExpiryInterval: 60 },
    });
    const id = await sent(device.id);
    pump.acknowledge(await pump.next());
    pump.reply(id, 200, 'heard');
    expect(await backend.next('publish')).toMatchObject({
      topic: `devices/${device.id}/commands/${id}/reply/200`,
      payload: Buffer.from('heard'),
    });
    await pump.raw.next('puback');
    pump.raw.sendPacket({ cmd: 'pingreq' });
    await pump.raw.next('pingresp');
    expect(pump.raw.packets).toEqual([]);
  });
});
