// The numbers stand in the page itself.

const data = JSON.parse(document.getElementById("data").textContent);
