/** What the ops door of a house says, as numbers. */
import { request } from 'undici';
import type { House } from './house.ts';

/** Samples by name and labels, as they are written. */
export async function metricsOf(house: House): Promise<Map<string, number>> {
  const { body } = await request(`${house.doors.ops}/metrics`);
  const lines = (await body.text()).split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line) => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}
