/**
 * A process warning fails the run: an unhandled rejection, a leaking listener or a deprecation is a defect.
 */
process.on('warning', (warning) => {
  throw warning;
});
