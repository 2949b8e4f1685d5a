/** Commands at a house's API, as the stories send and look at them. */
import { expect } from 'vitest';
import type { ApiAnswer, ApiClient } from './api-client.ts';
import { eventually } from './eventually.ts';

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
