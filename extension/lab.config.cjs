// For JupyterLab's builder: numbers of modules by order, not by hash, in which the place of the checkout would count.
module.exports = { optimization: { moduleIds: "natural", chunkIds: "natural" } };
