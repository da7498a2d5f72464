// SPDX-License-Identifier: Apache-2.0
//
// Deletes an object twice, by its size.

#include <new>

#include "tests/misuse/misuse.h"

int main() {
  struct Object {
    char bytes[48];
  };
  misuse::Flood flood(sizeof(Object));
  Object* object = misuse::Hide(new Object);
  misuse::Announce(object);
  delete object;
  ::operator delete(misuse::Hide(object), sizeof(Object));
  return 0;
}
