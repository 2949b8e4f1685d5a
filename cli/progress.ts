/** Progress of something that takes longer than a second: a line that moves in a terminal, a line a second in a pipe. */
import { createLogUpdate } from 'log-update';
import { type Clock, systemClock } from '#common/clock.ts';

export interface Progress {
  tick(): void;
  end(): void;
}

const width = 30;
const drawMs = 100;
const plainMs = 1_000;

/** Draws on stderr; not at all when `shown` is false. */
export function openProgress(
  what: string,
  total: number,
  shown: boolean,
  clock: Clock = systemClock,
): Progress {
  const live = process.stderr.isTTY ? createLogUpdate(process.stderr) : null;
  const begunMs = clock.elapsed();
  let done = 0;
  let drawnMs = begunMs;
  const draw = () => {
    const share = total === 0 ? 1 : done / total;
    const rate = Math.round(done / Math.max(0.001, (clock.elapsed() - begunMs) / 1000));
    if (live)
      live(`${'█'.repeat(Math.round(share * width)).padEnd(width, '░')} ${done}/${total} ${what}, ${rate}/s`);
    else process.stderr.write(`${what}: ${done}/${total}, ${rate}/s\n`);
  };
  return {
    tick() {
      done += 1;
      const nowMs = clock.elapsed();
      if (!shown || nowMs - drawnMs < (live ? drawMs : plainMs)) return;
      drawnMs = nowMs;
      draw();
    },
    end() {
      if (!shown) return;
      if (live || clock.elapsed() - begunMs > plainMs) draw();
      live?.done();
    },
  };
}
