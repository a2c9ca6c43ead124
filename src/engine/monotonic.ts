/** Time that passes, whatever is done to the clock meanwhile: for how long something took, and how long to wait for it. */

/** Milliseconds since some moment before. As performance.now, for which Node loads a module of its own. */
export const monotonicMs = (): number => process.uptime() * 1000;
