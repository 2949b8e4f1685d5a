/** What the stories of several workers have in common: who is where, and how to come in elsewhere. */
import { readFile } from 'node:fs/promises';
import { expect } from 'vitest';
import type { DeviceIdentity } from './api-client.ts';
import { eventually } from './eventually.ts';
import type { House } from './house.ts';
import { RawMqtt } from './raw-mqtt.ts';

/** The gateway that holds the one session of a device. */
export function gatewayOf(house: House, device: DeviceIdentity): Promise<string> {
  return eventually(async () => {
    const { sessions } = (await house.api.call('GET', `/v1/devices/${device.id}`)).body;
    expect(sessions).toHaveLength(1);
    return sessions[0].gateway as string;
  });
}

/** Connects until the session is where it is wanted: the system chooses the worker. */
export async function connectAt(
  house: House,
  device: DeviceIdentity,
  gateway: string,
  connect: Parameters<typeof RawMqtt.connected>[3] = {},
): Promise<RawMqtt> {
  for (;;) {
    const raw = await RawMqtt.connected(device, house.port('mqtts'), 5, connect);
    if ((await gatewayOf(house, device)) === gateway) return raw;
    raw.socket.destroy();
  }
}

/** Process ids of the workers, in the order in which they were started. */
export async function workerPids(house: House): Promise<number[]> {
  const { pid } = house.child;
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return children.split(' ').filter(Boolean).map(Number);
}
