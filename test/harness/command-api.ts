/** Commands at a house's API, as the stories send and look at them. */
import { expect } from 'vitest';
import type { ApiAnswer, ApiClient } from './api-client.ts';
import { eventually } from './eventually.ts';
import { TimedHouse } from './timed-house.ts';

export function commandApi(api: () => ApiClient) {
  const send = (device: string, order: object, headers: Record<string, string> = {}): Promise<ApiAnswer> =>
    api().call('POST', `/v1/devices/${device}/commands`, order, headers);

  /** Sends one and gives its id. */
  const sent = async (device: string, order: object = { name: 'do' }): Promise<string> => {
    const answer = await send(device, order);
    expect(answer.status, JSON.stringify(answer.body)).toBe(202);
    return answer.body.commandId;
  };

  const show = async (device: string, id: string) =>
    (await api().call('GET', `/v1/devices/${device}/commands/${id}`)).body;

  /** Waits until it looks like this. */
  const becomes = (device: string, id: string, expected: object) =>
    eventually(async () => expect(await show(device, id)).toMatchObject(expected));

  return { send, sent, show, becomes };
}

/** A house in which every bound of commands is near. */
export const startCommandHouse = (): Promise<TimedHouse> =>
  TimedHouse.start({
    'registry.maxCommandsPerDevice': 20,
    'registry.maxCommandSize': '1KiB',
    'registry.maxCommandTtl': '2d',
    'registry.maxCommandWait': '5s',
    'registry.maxCommandWaits': 2,
    'registry.commandRetention': '1d',
    'mqtt.maxCommandsInFlight': 4,
  });
